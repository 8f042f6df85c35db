import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { argv, exit } from 'node:process';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { type EngineName, engines } from '../support/engines.ts';

/** Connects two transports in a network that has IPv6 only. Usage: ipv6.ts engine */
const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
assert.deepEqual([...new Set(addresses.map(({ family }) => family))], ['IPv6']);

const [near, far] = MemorySignaling.pair();
const rtc = engines[argv[2] as EngineName];
const client = new WebRTCClientTransport({ signaling: near, rtc });
const server = new WebRTCServerTransport({ signaling: far, rtc });
await Promise.all([client.start(), server.start()]);
console.log('connected by IPv6');
await Promise.all([client.close(), server.close()]);
exit();
