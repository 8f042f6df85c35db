import type { TunnelAgent } from './own-web-socket.node.ts';
import type { FindObstacle } from './relay-obstacle.ts';
import type { SocketOpener } from './web-socket.ts';

/** They have a WebSocket that is there already, and less of what ws needs. */
const otherRuntime = 'bun' in process.versions || 'deno' in process.versions;

/**
 * The WebSocket of the package ws, through the proxy that the environment gives for the URL. It is
 * loaded when it is needed: a program that imports the SDK may connect much later, or never. With
 * Node's own all of fetch is loaded, in a quarter of the time in which `connect` starts.
 *
 * @param alone its sockets share no connections with others, which may be dead already
 * @throws RendezvousError `bad_option` when a variable names no HTTP proxy
 */
export async function platformWebSocket(url: URL, alone = false): Promise<SocketOpener> {
  const { proxyFor } = await import('mcp-rendezvous-protocol/proxy');
  const proxy = proxyFor(url);
  if (otherRuntime && !proxy && !alone) return { webSocket: WebSocket, findObstacle };
  const { ownWebSocket } = await import('./own-web-socket.node.ts');
  if (!proxy) return { webSocket: ownWebSocket(undefined), findObstacle };
  const { tunnelAgent } = await import('mcp-rendezvous-protocol/http');
  const tunnel: TunnelAgent = (target, signal) => tunnelAgent(target, proxy, signal);
  return { webSocket: ownWebSocket(tunnel), proxy: proxy.name, findObstacle };
}

const findObstacle: FindObstacle = async (url, signal) => {
  const obstacles = await import('./relay-obstacle.node.ts');
  return await obstacles.findObstacle(url, signal);
};
