import type { FindObstacle } from './relay-obstacle.ts';
import type { SocketOpener } from './web-socket.ts';

/** Looked up at each call: a page may replace it. The browser knows its proxies. */
export const platformWebSocket = async (_url: URL, _alone?: boolean): Promise<SocketOpener> => ({
  webSocket: WebSocket,
  findObstacle,
});

/** How long the address may take to answer, in milliseconds. */
const answerMs = 3_000;

/**
 * A browser does not tell a page why a WebSocket failed. It tells whether it is online, and whether
 * anything answers HTTP at the address.
 */
const findObstacle: FindObstacle = async (url, signal) => {
  // Declared by the DOM library, which the sources do without.
  if ((navigator as { onLine?: unknown }).onLine === false) {
    return { detail: 'offline', seen: 'the browser is offline', advice: 'Check the network of this device' };
  }
  const asked = new URL(url);
  asked.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
  const limit = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
  try {
    await fetch(asked, { mode: 'no-cors', credentials: 'omit', cache: 'no-store', signal: limit });
    return {
      detail: 'not_a_relay',
      seen: 'a web server answers at its address, but the WebSocket fails',
      advice: "Check the URL, that proxies forward WebSockets, and that ALLOWED_ORIGINS lists this page's origin",
    };
  } catch {
    return {
      seen: 'nothing answers, and the browser does not say why',
      advice: 'Open its address in a tab to see whether the name, the port or the certificate is wrong',
    };
  }
};
