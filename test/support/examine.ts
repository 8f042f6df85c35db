import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Finding } from '../../sdk/src/cli/doctor/finding.ts';
import type { Verdict } from '../../sdk/src/cli/doctor/verdict.ts';
import { Cli } from '../../sdk/test/cli/support/process.ts';

export interface Result {
  exit: number | string;
  ok: boolean;
  findings: Finding[];
  verdict: Verdict;
  /** What went wrong, and how badly: `['fail room.peers peer_absent']`. */
  troubles: string[];
  output: string;
}

/** Runs `doctor --json` to its end. */
export async function examine(t: TestContext, env: Record<string, string>, ...flags: string[]): Promise<Result> {
  const cli = new Cli(t, ['doctor', '--json', ...flags], env);
  const exit = await cli.exit();
  const output = `${JSON.stringify(cli.messages)}${cli.noise.join('\n')}${cli.stderr}`;
  // Not JSON-RPC, here.
  const [result] = cli.messages as unknown as Pick<Result, 'ok' | 'findings' | 'verdict'>[];
  assert.ok(result, output);
  const bad = result.findings.filter(({ status }) => status !== 'ok');
  for (const { seen, code } of bad) assert.ok(seen && code, output);
  assert.match(result.verdict.text, /^[A-Z].+, because .+\.$/);
  const token = env['MCP_RENDEZVOUS_TOKEN'];
  if (token) assert.ok(!output.includes(token));
  return { exit, ...result, troubles: bad.map(({ status, check, code }) => `${status} ${check} ${code}`), output };
}
