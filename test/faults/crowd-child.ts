import { connectPath, type FrameFromRelay, subprotocol } from 'mcp-rendezvous-protocol';
import { WebSocket } from 'ws';
import { backoffMs } from '../../sdk/src/signaling/backoff.ts';
import { testToken } from '../../server/test/support/peer.ts';

/** What a process of a crowd says about its peers, in numbers. */
export interface CrowdReport {
  joined: number;
  /** Sockets lost since the beginning. */
  losses: number;
  /** Joins after a loss that gave the old id back, and those that did not. */
  resumed: number;
  strangers: number;
}

const report: CrowdReport = { joined: 0, losses: 0, resumed: 0, strangers: 0 };
/** Sockets that are opened at the same time in the beginning. */
const atOnce = 50;

/**
 * A peer that comes back as the SDK's do: with full-jitter backoff and its resume secret. Resolves
 * when it has joined first.
 */
async function enter(relay: string, room: string, role: 'server' | 'client'): Promise<void> {
  // How often one subject joins is limited.
  const token = await testToken({ room, role, subject: `${role} of ${room}` });
  await new Promise<void>((resolve) => {
    let known: { peer: string; resume: string } | undefined;
    let attempt = 0;
    const open = (): void => {
      let joined = false;
      const socket = new WebSocket(relay + connectPath, subprotocol);
      socket.on('error', () => undefined); // its close says the same
      socket.on('open', () =>
        socket.send(JSON.stringify({ type: 'join', token, ...(known ? { resume: known.resume } : {}) })),
      );
      socket.on('message', (data: Buffer) => {
        const frame = JSON.parse(data.toString()) as FrameFromRelay;
        if (frame.type !== 'joined') return;
        report.joined++;
        if (known) report[known.peer === frame.peer ? 'resumed' : 'strangers']++;
        known = frame;
        joined = true;
        attempt = 0;
        resolve();
      });
      socket.on('close', () => {
        if (joined) {
          report.joined--;
          report.losses++;
        }
        setTimeout(open, backoffMs(attempt++));
      });
    };
    open();
  });
}

const [relay = '', size = '0', name = ''] = process.argv.slice(2);
setInterval(() => process.send?.(report), 50);
process.on('disconnect', () => process.exit());
const entries = Array.from({ length: Number(size) }, (_, index) => index).values();
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    for (const index of entries) await enter(relay, `${name}-${index >> 1}`, index % 2 === 0 ? 'server' : 'client');
  }),
);
