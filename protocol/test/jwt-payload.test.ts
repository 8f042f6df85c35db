import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jwtPayload } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';

const key = 'correct horse battery staple, thirty-two bytes and more';

test("a token's payload is read, also with the end of a line behind it, and nothing else is taken for a token", async () => {
  const token = await createRoomToken({ key, room: 'desk', role: 'server', subject: 'ada', ttl: '1h' });
  for (const text of [token, `${token}\n`, `${token}\r\n`]) assert.equal(jwtPayload(text)?.['room'], 'desk');
  const [header, payload, signature] = token.split('.');
  const others = [
    '',
    'no token',
    JSON.stringify({ token }),
    `"${token}"`,
    `Bearer ${token}`,
    `${header}.${payload}`,
    `${token}.${signature}`,
    `${header}.${btoa('[1]')}.${signature}`,
    `${header}.${btoa('no JSON')}.${signature}`,
  ];
  for (const text of others) assert.equal(jwtPayload(text), undefined, text);
});
