import { createHmac } from 'node:crypto';
import { createInvitation, deriveSecret } from 'mcp-rendezvous-protocol';
import { people, secret } from './channels.ts';
import { sdpOf, type Step, type Transcript } from './transcript.ts';

/** The transcript of two sockets to the relay, from join to close: PROTOCOL.md §2 to §6. */
const key = 'a secret for transcripts that is long enough';
const [, server] = people.subjects;
const times = { iat: 1_789_996_400, exp: 1_790_000_000 };

/** HS256 gives the same token for the same claims, whoever signs them. */
function token(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}

const claims = (role: 'client' | 'server', sub: string, more: object = {}) => ({
  iss: people.iss,
  aud: 'mcp-rendezvous',
  room: people.room,
  role,
  sub,
  ...times,
  ...more,
});

/** What the relay passes on of a token. */
const shown = ({
  sub,
  role,
  exp,
  iss,
  jti,
}: {
  sub: string;
  role: string;
  exp: number;
  iss: string;
  jti?: string;
}) => ({
  sub,
  role,
  exp,
  iss,
  ...(jti ? { jti } : {}),
});

export async function signalingTranscripts(): Promise<Record<string, Transcript>> {
  const serverClaims = claims('server', server, { jti: 'server-1', invite: 86_400 });
  const clientClaims = claims('client', `inv:${server}`, { jti: 'invitation-1', by: 'server-1' });
  const freshClaims = claims('server', server, { jti: 'server-1', invite: 86_400, exp: times.exp + 3_600 });
  const tokens = { server: token(serverClaims), client: token(clientClaims), fresh: token(freshClaims) };
  const ownSecret = await deriveSecret(secret, 'invitation-1');
  const relay = 'wss://relay.example';
  const invitation = createInvitation({ relay, token: tokens.client, secret: ownSecret, name: 'files' });
  const ids = { client: 'p-7Qm2k9', server: 'p-a81hZx' };
  const iceServers = [{ urls: ['stun:stun.example:3478'] }];
  const limits = { maxFrameBytes: 65_536, relayed: { bytesPerSecond: 524_288, burst: 1_048_576 } };

  const asks = (from: string, text: object): Step => ({ from, to: 'relay', text });
  const tells = (to: string, text: object): Step => ({ from: 'relay', to, text });
  const joined = (peer: 'client' | 'server', peers: object[], { invite }: { invite?: number } = {}) => ({
    type: 'joined',
    peer: ids[peer],
    resume: `${ids[peer]}.wVv0mZr1`,
    room: people.room,
    role: peer,
    peers,
    iceServers,
    expiresAt: times.exp,
    now: times.iat,
    limits: { ...limits, ...(invite !== undefined && { invite }) },
    ...(peer === 'client' && { reports: true }),
  });
  const offer = { kind: 'offer', gen: 1, seq: 1, ack: 0, body: { sdp: sdpOf('actpass', '1') } };
  const answer = { kind: 'answer', gen: 1, seq: 1, ack: 1, body: { sdp: sdpOf('active', '1') } };
  const path = { candidate: 'candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host', sdpMid: '0', sdpMLineIndex: 0 };
  const candidate = { kind: 'candidate', gen: 1, seq: 2, ack: 1, body: path };
  const bye = { kind: 'bye', gen: 1, seq: 3, ack: 1, body: { code: 'closed', message: 'The client was closed.' } };

  const steps: Step[] = [
    asks('server', { type: 'join', token: tokens.server }),
    tells('server', joined('server', [], { invite: 86_400 })),
    asks('server', { type: 'invite', id: 'i-1', name: 'files', ttl: 3_600 }),
    tells('server', { type: 'invited', id: 'i-1', token: tokens.client, expiresAt: times.exp }),
    asks('client', { type: 'join', token: tokens.client, process: 'one', signal: { id: '1', data: offer } }),
    tells('client', joined('client', [{ id: ids.server, state: 'online', claims: shown(serverClaims) }])),
    tells('server', { type: 'peer', id: ids.client, state: 'online', claims: shown(clientClaims) }),
    tells('server', { type: 'signal', from: ids.client, data: offer }),
    asks('server', { type: 'signal', id: '1', to: ids.client, data: answer }),
    tells('client', { type: 'signal', from: ids.server, data: answer }),
    asks('client', { type: 'signal', id: '2', to: ids.server, data: candidate }),
    tells('server', { type: 'signal', from: ids.client, data: candidate }),
    asks('server', { type: 'signal', id: '2', to: ids.client, data: { kind: 'ack', ack: 2 } }),
    tells('client', { type: 'signal', from: ids.server, data: { kind: 'ack', ack: 2 } }),
    tells('server', { type: 'token_expiring', expiresAt: times.exp }),
    asks('server', { type: 'token', token: tokens.fresh }),
    tells('client', { type: 'peer', id: ids.server, state: 'online', claims: shown(freshClaims) }),
    asks('client', { type: 'connected', peer: ids.server, path: 'direct' }),
    asks('client', { type: 'ping' }),
    tells('client', { type: 'pong' }),
    asks('client', { type: 'signal', id: '3', to: ids.server, data: bye }),
    tells('server', { type: 'signal', from: ids.client, data: bye }),
    asks('client', { type: 'failed', peer: ids.server, code: 'session_lost' }),
    asks('client', { type: 'leave' }),
    { from: 'relay', to: 'client', close: { code: 1000, reason: '' } },
    tells('server', { type: 'peer', id: ids.client, state: 'gone', reason: 'left' }),
    asks('server', { type: 'signal', id: '4', to: ids.client, data: { kind: 'ack', ack: 3 } }),
    tells('server', { type: 'outcome', id: '4', code: 'gone' }),
    tells('server', { type: 'goaway', afterMs: 2_500 }),
    tells('server', { type: 'error', code: 'going_away', message: 'The instance stops. Connect again.' }),
    { from: 'relay', to: 'server', close: { code: 4450, reason: 'going_away' } },
  ];
  return {
    'join-to-close.json': {
      format: 1,
      kind: 'signaling',
      title: 'Two peers at the relay, from join to close',
      sections: '§1 to §6',
      given: { ...people, key, relay, root: secret, ids },
      derived: {
        claims: { server: serverClaims, client: clientClaims, fresh: freshClaims },
        tokens,
        secret: ownSecret,
        invitation,
      },
      steps,
    },
  };
}
