import { Server } from 'node:net';

/** y-webrtc's server on loopback: by itself it would listen on every address of this machine. */
const listen: (this: Server, port: number, host: string) => Server = Reflect.get(Server.prototype, 'listen');
Server.prototype.listen = function (this: Server, port: unknown): Server {
  return listen.call(this, Number(port), '127.0.0.1');
};

await import(new URL('../../../node_modules/y-webrtc/bin/server.js', import.meta.url).href);
