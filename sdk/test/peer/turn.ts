import { createHash, createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';

const realm = 'example';
const credential = 'secret';

/**
 * STUN attributes (RFC 8489 §14, RFC 8656 §18) and message types (RFC 8656 §17) that allocating
 * needs.
 */
const attributes = {
  messageIntegrity: 0x08,
  errorCode: 0x09,
  lifetime: 0x0d,
  realm: 0x14,
  nonce: 0x15,
  relayed: 0x16,
  mapped: 0x20,
};
const messages = { allocate: 0x0003, allocated: 0x0103, refused: 0x0113 };

/**
 * As much of a TURN server as makes an allocation (RFC 8656 §7), when it is told to. It does not
 * keep the process alive.
 */
export async function turnServer(username = 'someone') {
  const key = createHash('md5').update(`${username}:${realm}:${credential}`).digest();
  const socket = createSocket('udp4').unref();
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  socket.on('message', (request, { address, port }) => {
    if (request.readUInt16BE(0) !== messages.allocate) return;
    const reply = (type: number, list: Buffer[]) => socket.send(message(type, request, list), port, address);
    if (!request.includes(realm)) {
      const unauthorized = attribute(attributes.errorCode, Buffer.from([0, 0, 4, 1]));
      reply(messages.refused, [unauthorized, named(attributes.realm, realm), named(attributes.nonce, 'once')]);
      return;
    }
    if (request.includes(username)) asked.resolve();
    void answer.promise.then(() => {
      const lifetime = attribute(attributes.lifetime, Buffer.from([0, 0, 2, 88]));
      const list = [xorAddress(attributes.relayed), xorAddress(attributes.mapped), lifetime];
      const signed = message(messages.allocated, request, list, 24);
      const integrity = attribute(attributes.messageIntegrity, createHmac('sha1', key).update(signed).digest());
      socket.send(Buffer.concat([signed, integrity]), port, address);
    });
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const urls = `turn:127.0.0.1:${socket.address().port}?transport=udp`;
  return { iceServer: { urls, username, credential }, asked: asked.promise, answer: () => answer.resolve() };
}

function attribute(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(value.length, 2);
  return Buffer.concat([header, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

const named = (type: number, value: string) => attribute(type, Buffer.from(value));

/** 127.0.0.1:40000, covered with the magic cookie (RFC 8489 §14.2). */
const xorAddress = (type: number) =>
  attribute(type, Buffer.from([0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 127 ^ 0x21, 0x12, 0xa4, 1 ^ 0x42]));

function message(type: number, request: Buffer, list: Buffer[], more = 0): Buffer {
  const body = Buffer.concat(list);
  const header = Buffer.from(request.subarray(0, 20));
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length + more, 2);
  return Buffer.concat([header, body]);
}
