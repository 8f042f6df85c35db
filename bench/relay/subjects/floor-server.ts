import { argv } from 'node:process';
import { type WebSocket, WebSocketServer } from 'ws';

/**
 * The floor: the least that introduces two peers and forwards their signals, on bare `ws`. No
 * authentication, no limits, no liveness, no resumption, no log, one process.
 */
const rooms = new Map<string, Map<string, WebSocket>>();
let ids = 0;

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(argv[2]), perMessageDeflate: false });
server.on('connection', (socket) => {
  const id = String(++ids);
  let room: Map<string, WebSocket> | undefined;
  let name = '';
  socket.on('message', (message: Buffer) => {
    const frame = JSON.parse(message.toString()) as { type: string; room: string; to: string; data: unknown };
    if (frame.type === 'join') {
      name = frame.room;
      room = rooms.get(name) ?? new Map<string, WebSocket>();
      rooms.set(name, room);
      socket.send(JSON.stringify({ type: 'joined', peer: id, peers: [...room.keys()] }));
      for (const other of room.values()) other.send(JSON.stringify({ type: 'peer', id }));
      room.set(id, socket);
    } else {
      room?.get(frame.to)?.send(JSON.stringify({ type: 'signal', from: id, data: frame.data }));
    }
  });
  socket.on('close', () => {
    room?.delete(id);
    if (room?.size === 0) rooms.delete(name);
  });
});
