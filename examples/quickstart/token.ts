import { createRoomToken } from 'mcp-rendezvous/token';

// What a backend of yours does, after it has checked who is asking: sign a token for one peer of
// one room. Usage: node token.ts server|client subject
const [role, subject] = process.argv.slice(2);
const key = process.env['RELAY_SECRET'];
if ((role !== 'server' && role !== 'client') || !subject || !key) {
  throw new Error('Usage: RELAY_SECRET=… node token.ts server|client subject');
}
console.log(await createRoomToken({ key, room: 'quickstart', role, subject, ttl: '1h' }));
