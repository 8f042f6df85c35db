import type { FindObstacle } from './relay-obstacle.ts';

/** A class with the interface of the platform's WebSocket (https://websockets.spec.whatwg.org/). */
export type WebSocketConstructor = new (url: URL, protocols: string) => WebSocket;

/** What opens a socket to the relay. */
export interface SocketOpener {
  webSocket: WebSocketConstructor;
  /** The proxy that the socket goes through, for people. */
  proxy?: string;
  /** Absent for a class of the application's own, which may trust other certificates. */
  findObstacle?: FindObstacle;
}
