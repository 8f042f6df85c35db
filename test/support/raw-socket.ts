import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connectPath, subprotocol } from 'mcp-rendezvous-protocol';
import { within } from './wait.ts';

/**
 * Opens a WebSocket to a relay by hand, to write what no library would. It never closes by itself.
 */
export async function rawSocket(relay: string): Promise<Socket> {
  const { hostname, port, host } = new URL(relay);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined); // the relay may cut it at any time
  socket.write(
    `GET ${connectPath} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`,
  );
  await within(once(socket, 'data'), 'the relay answers the handshake');
  return socket;
}

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/**
 * A client's frame (RFC 6455 §5.2), masked with zeros, which change nothing.
 *
 * @param length what its header says, if that is not the payload's
 */
export function rawFrame(
  code: number,
  payload: string | Buffer,
  options: { fin?: boolean; length?: number } = {},
): Buffer {
  const bytes = Buffer.from(payload);
  const { fin = true, length = bytes.length } = options;
  const first = (fin ? 0x80 : 0) | code;
  const mask = Buffer.alloc(4);
  if (length < 126) return Buffer.concat([Buffer.of(first, 0x80 | length), mask, bytes]);
  const header = Buffer.alloc(length < 65_536 ? 4 : 10);
  header[0] = first;
  header[1] = 0x80 | (length < 65_536 ? 126 : 127);
  if (length < 65_536) header.writeUInt16BE(length, 2);
  else header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, mask, bytes]);
}
