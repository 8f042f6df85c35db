/**
 * Preloaded into each test file when coverage is taken: of the processes that a test starts, none
 * is. There are three for each test file, and the runner takes longer to read what they leave
 * behind than the slowest test to run.
 */
delete process.env['NODE_V8_COVERAGE'];
