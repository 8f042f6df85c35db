import assert from 'node:assert/strict';
import { delimiter } from 'node:path';
import { suite, test } from 'node:test';
import { type Launch, launchCommand, shellLine } from '../../src/cli/launch-command.ts';

const windows = 'C:\\Users\\ada\\AppData\\Roaming\\npm\\node_modules\\mcp-rendezvous\\bin\\mcp-rendezvous.js';

void suite('the command that people are told to run', () => {
  test('is the one that was run', () => {
    const ways: [launch: Launch, words: string[]][] = [
      [
        { script: '/usr/local/bin/mcp-rendezvous', env: { PATH: ['/bin', '/usr/local/bin'].join(delimiter) } },
        ['mcp-rendezvous'],
      ],
      [{ script: '/opt/tools/mcp-rendezvous', env: { PATH: '/bin' } }, ['/opt/tools/mcp-rendezvous']],
      [{ script: '/opt/tools/mcp-rendezvous', env: {} }, ['/opt/tools/mcp-rendezvous']],
      [{ script: '/a/sdk/bin/mcp-rendezvous.js', env: {} }, ['node', '/a/sdk/bin/mcp-rendezvous.js']],
      [
        { script: '/a/node_modules/.bin/mcp-rendezvous', env: { PATH: '/a/node_modules/.bin' } },
        ['npx', 'mcp-rendezvous'],
      ],
      [{ script: '/root/.npm/_npx/1f/node_modules/.bin/mcp-rendezvous', env: {} }, ['npx', '-y', 'mcp-rendezvous']],
      [{ script: windows, env: {} }, ['mcp-rendezvous']],
      [{ script: windows, env: { npm_command: 'exec' } }, ['npx', 'mcp-rendezvous']],
    ];
    for (const [launch, words] of ways) assert.deepEqual(launchCommand(launch), words, launch.script);
  });

  test('is quoted for the shell of the system', () => {
    const odd = ["/it is/Ada's $HOME", '-x', 'C:\\a'];
    assert.equal(shellLine(odd, 'linux'), String.raw`'/it is/Ada'\''s $HOME' -x 'C:\a'`);
    assert.equal(shellLine(['node', 'C:\\Program Files\\a.js'], 'win32'), 'node "C:\\Program Files\\a.js"');
    assert.equal(shellLine(['node', windows], 'win32'), `node ${windows}`);
  });
});
