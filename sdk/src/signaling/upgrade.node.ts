import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { subprotocol } from 'mcp-rendezvous-protocol';
import { request } from 'mcp-rendezvous-protocol/http';

export interface UpgradeAnswer {
  status: number;
  headers: IncomingMessage['headers'];
  /** It is a WebSocket (RFC 6455 §4.2.2), with or without our subprotocol. */
  isWebSocket: boolean;
  /** It is one with our subprotocol. */
  isRelay: boolean;
}

/**
 * Asks for a WebSocket as a peer does, through the same proxy, and closes it again. Unlike the
 * platform's WebSocket, this tells what the address answered, and which error there was.
 *
 * @param url with http: or https:
 * @throws what `request` throws
 */
export async function askForUpgrade(url: URL, signal: AbortSignal): Promise<UpgradeAnswer> {
  const key = randomBytes(16).toString('base64');
  const asked = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Protocol': subprotocol,
  };
  const response = await request(url, { headers: asked, signal });
  response.destroy();
  const { statusCode: status = 0, headers } = response;
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const isWebSocket = status === 101 && headers['sec-websocket-accept'] === accept;
  return { status, headers, isWebSocket, isRelay: isWebSocket && headers['sec-websocket-protocol'] === subprotocol };
}
