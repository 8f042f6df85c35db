import { type Hello, secretKeyBytes } from 'mcp-rendezvous-protocol';
import { prove, sessionKey, type Witness } from '../../sdk/src/link/proof.ts';
import { certificateBinding, relayContext } from '../../sdk/src/link/transcript.ts';
import { dataFrames, encodeFrame, type FrameValue, type Step, toHex, type Transcript } from './transcript.ts';

/** The transcripts of framed mode over a data channel: PROTOCOL.md §7 and §9. */
export const people = {
  iss: 'https://backend.example',
  room: 'desk',
  roles: ['client', 'server'],
  subjects: ['agent-7', 'desktop-1'],
} as const;
export const secret = 'mcps1AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA1y9zvg';
const session = 'hTq3b0mXk2nV8sJ4yLwZrA';
const nonces = ['q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA', 'EjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8'];
const laterNonces = ['AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8', 'ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8'];
const fingerprints = [0xab, 0xcd].map(
  (byte) => `sha-256 ${Array.from({ length: 32 }, () => byte.toString(16).toUpperCase()).join(':')}`,
);

const ends = ['offerer', 'answerer'] as const;
type End = (typeof ends)[number];
const other = { offerer: 'answerer', answerer: 'offerer' } as const;

const step = (from: End, frame: FrameValue): Step => ({
  from,
  to: other[from],
  hex: toHex(encodeFrame(frame)),
  frame,
});

export const messages = {
  initialize: {
    jsonrpc: '2.0',
    id: 0,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'transcript', version: '1' } },
  },
  initialized: { jsonrpc: '2.0', method: 'notifications/initialized' },
  result: {
    jsonrpc: '2.0',
    id: 0,
    result: {
      protocolVersion: '2025-11-25',
      capabilities: {},
      serverInfo: { name: 'grüß Gott \u{1f44b}', version: '1' },
    },
  },
  call: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'greet', _meta: { progressToken: 1 } } },
  progress: { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } },
  cancelled: { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } },
};

const helloOf = (name: string | undefined, nonce: string, received: number, auth: Hello['auth']): FrameValue => ({
  type: 'hello',
  hello: { ...(name === undefined ? {} : { session: name }), nonce, maxMessageBytes: 10_485_760, received, auth },
});

interface Channel {
  title: string;
  secret?: string;
  /** The session goes on: its first channel had the nonces of before. */
  resumes?: boolean;
  steps: Step[];
  messages: { from: End; message: unknown; meta?: unknown }[];
}

async function channel({ title, resumes = false, steps, messages: said, ...more }: Channel): Promise<Transcript> {
  const [roleOfOfferer, roleOfAnswerer] = people.roles;
  const [subjectOfOfferer, subjectOfAnswerer] = people.subjects;
  const context = relayContext({
    room: people.room,
    issuer: people.iss,
    otherIssuer: people.iss,
    offerer: { role: roleOfOfferer, subject: subjectOfOfferer },
    answerer: { role: roleOfAnswerer, subject: subjectOfAnswerer },
  });
  const binding = certificateBinding(fingerprints[0]!, fingerprints[1]!);
  const witness = ([offererNonce, answererNonce]: string[]): Witness => ({
    offererNonce: offererNonce!,
    answererNonce: answererNonce!,
    session,
    context,
    binding,
  });
  const key = more.secret === undefined ? undefined : secretKeyBytes(more.secret)!;
  const ofSession = await sessionKey(witness(nonces), key);
  const own = resumes ? laterNonces : nonces;
  const proofs =
    key || resumes
      ? await Promise.all(ends.map(async (end) => toHex(await prove(resumes ? ofSession : key!, end, witness(own)))))
      : [];
  const received = resumes ? 2 : 0;
  const named = [session, resumes ? session : undefined];
  return {
    format: 1,
    kind: 'channel',
    title,
    sections: resumes ? '§7, §9' : '§7',
    given: { ...people, secret: more.secret ?? '', session, nonces: own, firstNonces: nonces, fingerprints },
    derived: {
      context: toHex(context),
      binding: toHex(binding),
      proofs,
      sessionKey: toHex(ofSession),
      messages: said,
    },
    steps: [
      ...ends.map((end, at) => step(end, helloOf(named[at], own[at]!, received, key ? 'secret' : 'none'))),
      ...proofs.map((proof, at) => step(ends[at]!, { type: 'auth', proof })),
      ...steps,
    ],
  };
}

/** One session from its first HELLO to the second CLOSE. */
const whole = (): Pick<Channel, 'steps' | 'messages'> => {
  const { initialize, result, initialized, call, progress } = messages;
  const related = { relatedRequestId: 1 };
  const headers = { headers: { 'x-request': 'grüß' } };
  return {
    messages: [
      { from: 'offerer', message: initialize },
      { from: 'answerer', message: result },
      { from: 'offerer', message: initialized },
      { from: 'offerer', message: call, meta: headers },
      { from: 'answerer', message: progress, meta: related },
    ],
    steps: [
      ...dataFrames(initialize, 1, 0, 1).map((frame) => step('offerer', frame)),
      ...dataFrames(result, 1, 1, 3).map((frame) => step('answerer', frame)),
      step('offerer', { type: 'ack', ack: 3 }),
      ...dataFrames(initialized, 2, 3, 1).map((frame) => step('offerer', frame)),
      ...dataFrames(call, 3, 3, 2, headers).map((frame) => step('offerer', frame)),
      step('answerer', { type: 'ping', id: 42 }),
      step('offerer', { type: 'pong', id: 42 }),
      ...dataFrames(progress, 4, 4, 1, related).map((frame) => step('answerer', frame)),
      step('offerer', { type: 'ack', ack: 4 }),
      step('offerer', { type: 'close', code: 0, reason: '' }),
      step('answerer', { type: 'close', code: 0, reason: '' }),
    ],
  };
};

/** After two frames each way the connection was lost, and a third one of the offerer with it. */
const resumed = (): Pick<Channel, 'steps' | 'messages'> => {
  const { call, cancelled, progress } = messages;
  return {
    messages: [
      { from: 'offerer', message: call },
      { from: 'answerer', message: progress },
      { from: 'offerer', message: cancelled },
    ],
    steps: [
      // It is sent again, under its own number.
      ...dataFrames(call, 3, 2, 1).map((frame) => step('offerer', frame)),
      ...dataFrames(progress, 3, 3, 1).map((frame) => step('answerer', frame)),
      ...dataFrames(cancelled, 4, 3, 1).map((frame) => step('offerer', frame)),
      step('answerer', { type: 'close', code: 4, reason: 'no welcome' }),
      step('offerer', { type: 'close', code: 0, reason: '' }),
    ],
  };
};

export const channelTranscripts = async (): Promise<Record<string, Transcript>> => ({
  'framed.json': await channel({ title: 'Framed mode without a secret, from HELLO to CLOSE', ...whole() }),
  'framed-secret.json': await channel({ title: 'Framed mode with a secret, from HELLO to CLOSE', secret, ...whole() }),
  'resume.json': await channel({
    title: 'A session without a secret goes on over a second channel',
    resumes: true,
    ...resumed(),
  }),
  'resume-secret.json': await channel({
    title: 'A session with a secret goes on over a second channel',
    secret,
    resumes: true,
    ...resumed(),
  }),
});
