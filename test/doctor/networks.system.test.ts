import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import type { Finding } from '../../sdk/src/cli/doctor/finding.ts';
import type { Verdict } from '../../sdk/src/cli/doctor/verdict.ts';

interface Result {
  findings: Finding[];
  verdict: Verdict;
}

const script = fileURLToPath(new URL('networks.ts', import.meta.url));
const expected: Record<string, [path: Verdict['path'], code: string, text: RegExp]> = {
  open: ['direct', 'public_address', /^You will connect directly once .* reached over UDP, and through TURN to peers/],
  'no STUN': [
    'none',
    'no_stun',
    /no STUN server is configured and no TURN server is configured, and the relay does not/,
  ],
  'UDP blocked, TURN': ['turn', 'udp_blocked', /^You will connect through TURN once .* over UDP/],
  'UDP blocked, no TURN': ['none', 'udp_blocked', /over UDP.* no TURN server is configured/],
  'UDP blocked, TURN refuses': ['relayed', 'turn_refused', /over UDP.* TURN refused the credentials/],
  'strict NAT, TURN': ['turn', 'strict_nat', /another port for each destination/],
  'both have addresses, no path': ['none', 'no_path', /both sides have addresses, but no packet gets through/],
  'a server': ['direct', 'public_address', /^You will connect directly, because/],
};

/** In a network namespace of its own. */
async function verdictIn(network: string): Promise<Result> {
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', script, network];
  // Outside root a user namespace is needed around it.
  const unshare = process.getuid?.() === 0 ? ['--net'] : ['--map-root-user', '--net'];
  const { stdout } = await promisify(execFile)('unshare', [...unshare, ...node], { maxBuffer: 16_777_216 });
  return (JSON.parse(stdout) as Record<string, Result>)[network]!;
}

// Nearly all of the time is waited for answers that do not come.
void suite('the verdict of doctor', { concurrency: 4 }, () => {
  for (const [name, [path, code, text]] of Object.entries(expected)) {
    test(`in the network "${name}" is ${path}, because of ${code}`, async () => {
      const { verdict, findings } = await verdictIn(name);
      assert.deepEqual([verdict.path, verdict.code], [path, code], JSON.stringify({ verdict, findings }));
      assert.match(verdict.text, text);
    });
  }
});
