import { once } from 'node:events';
import { WebSocket } from 'ws';
import { type Peer, peerOn } from '../subject.ts';

/** What differs between relays whose peers address each other by names that are known before. */
interface Dialect {
  url: string;
  /** Sent as soon as the socket is open. */
  hello: string[];
  /** Whether the message says that the peer has its place; undefined: the relay says nothing. */
  joined: ((message: string) => boolean) | undefined;
  /** Signals to the other peer, as text. */
  texts: string[];
  /** Whether the message is a signal of the other peer. */
  isSignal: (message: Buffer) => boolean;
  /** What is answered to a message, if anything. */
  answer?: (message: string) => string | undefined;
}

export async function openNamed({ url, hello, joined, texts, isSignal, answer }: Dialect): Promise<Peer> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const peer = peerOn(socket, () => texts);
  socket.on('message', (message: Buffer) => {
    if (isSignal(message)) return peer.onsignal();
    const text = message.toString();
    if (joined?.(text)) resolve();
    const reply = answer?.(text);
    if (reply !== undefined) socket.send(reply);
  });
  socket.on('error', reject).on('close', () => reject(new Error('closed')));
  await Promise.race([once(socket, 'open'), promise]);
  for (const text of hello) socket.send(text);
  if (joined) await promise;
  return peer;
}
