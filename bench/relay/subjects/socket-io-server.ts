import { createServer } from 'node:http';
import { argv } from 'node:process';
import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { Server, type Socket } from 'socket.io';

/**
 * A room relay as Socket.IO's documentation has it: `join` a room, and what is sent goes to the
 * others in it.
 */
const [port, redis] = argv.slice(2);
const http = createServer();
const options = { transports: ['websocket' as const], serveClient: false, perMessageDeflate: false };
const server = new Server(http, options);
if (redis !== undefined) server.adapter(createAdapter(new Redis(redis), new Redis(redis)));
server.on('connection', (socket: Socket) => {
  socket.on('join', async (room: string, done: () => void) => {
    await socket.join(room);
    socket.to(room).emit('peer', socket.id);
    done();
  });
  socket.on('signal', (room: string, data: unknown) => socket.to(room).emit('signal', { from: socket.id, data }));
});
http.listen(Number(port), '127.0.0.1');
