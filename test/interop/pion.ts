import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { End } from './end.ts';
import { processEnd } from './ends.ts';
import { installed } from './installed.ts';
import { LineProcess, type PeerEvent } from './line-process.ts';

/** What scripts/pion.sh builds the peer from, in the same order there. */
const sources = ['requirements.txt', 'go.mod', 'go.sum', 'main.go', 'room.go', 'session.go'];

/** An MCP peer on Pion, in Go, that knows PROTOCOL.md only. */
export class PionPeer extends LineProcess<PeerEvent> {
  constructor(t: TestContext, args: string[], token: string) {
    const folder = installed(
      'pion',
      sources.map((file) => `pion/${file}`),
    );
    super(t, 'Pion', [join(folder, 'peer'), ...args], { TOKEN: token });
  }
}

/** An end that is a process with Pion, new for each session. */
export const pionEnd = (t: TestContext): End =>
  processEnd((role, { relay, token, iceTransportPolicy }) => {
    const policy = iceTransportPolicy === 'relay' ? ['-turn'] : [];
    return new PionPeer(t, ['-relay', relay, ...policy, role], token);
  });
