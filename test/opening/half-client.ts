import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { fromBase64Url, toBase64Url } from 'mcp-rendezvous-protocol';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { encodeClose } from '../../sdk/src/link/frame.ts';
import { closeCode } from '../../sdk/src/link/handshake.ts';
import { relayedSession } from '../../sdk/src/link/proof.ts';
import { relayedPrologue } from '../../sdk/src/link/transcript.ts';
import { channelLabel } from '../../sdk/src/peer/channel-check.ts';
import type { RtcDataChannel, RtcPeerConnection } from '../../sdk/src/peer/engine.ts';
import { type Framing, withFraming } from '../../sdk/src/peer/framing.ts';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import { NoiseHandshake, type NoiseSession } from '../../sdk/src/relayed/noise.ts';
import { eventually } from '../support/wait.ts';

interface Begun {
  gen: number;
  /** By which the client comes back to the session. */
  name: string;
  keys: NoiseSession;
}

/**
 * A client of the relayed path that goes as far as a test wants: it offers, reads the server's
 * answer, and says what it likes or nothing at all.
 */
export class HalfClient {
  readonly peer: RawPeer;
  readonly #connection: RtcPeerConnection;
  readonly #channel: RtcDataChannel;
  #sdp = '';
  readonly #room: string;
  readonly #subject: string;
  #seq = 0;

  private constructor(peer: RawPeer, connection: RtcPeerConnection, room: string, subject: string) {
    this.peer = peer;
    this.#connection = connection;
    this.#channel = connection.createDataChannel(channelLabel, { ordered: true });
    this.#room = room;
    this.#subject = subject;
  }

  static async join(t: TestContext, url: string, room: string, subject = 'client-1'): Promise<HalfClient> {
    const peer = await RawPeer.join(url, testToken({ room, role: 'client', subject }));
    const connection = weriftEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
    t.after(() => {
      peer.cut();
      return connection.close();
    });
    return new HalfClient(peer, connection, room, subject);
  }

  get #server(): string {
    const [server] = this.peer.joined.peers;
    assert(server, 'the server is in the room');
    return server.id;
  }

  say(data: Record<string, unknown>): void {
    const seq = ++this.#seq;
    this.peer.signal(this.#server, { ...data, seq, ack: seq }, String(seq));
  }

  async offer(gen: number, framing: Partial<Framing>, noise?: Uint8Array): Promise<void> {
    if (this.#sdp === '') this.#sdp = (await this.#connection.createOffer()).sdp ?? '';
    const sdp = withFraming(this.#sdp, { versions: ['1'], restart: false, ...framing });
    this.say({ kind: 'offer', gen, body: { sdp, ...(noise && { noise: toBase64Url(noise) }) } });
  }

  /** Begins a session: from the server's answer on it has begun for this side. */
  async begin(gen: number, framing: Partial<Framing> = {}): Promise<Begun> {
    const prologue = relayedPrologue({ issuer: '', room: this.#room, client: this.#subject }, '', gen);
    const handshake = new NoiseHandshake({ initiator: true, prologue });
    await this.offer(gen, framing, handshake.write());
    const { data } = await this.heard('path', gen);
    handshake.read(fromBase64Url((data as { body: { noise: string } }).body.noise));
    const keys = handshake.split();
    const { name } = await relayedSession(keys.handshakeHash, new Uint8Array(keys.exported));
    return { gen, name, keys };
  }

  /** Makes the connection that it has offered. Resolves when the channel is open. */
  async connect(gen: number): Promise<void> {
    this.#connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate)
        this.say({ kind: 'candidate', gen, body: { candidate: candidate.candidate, sdpMid: '0' } });
    };
    await this.#connection.setLocalDescription({ type: 'offer', sdp: this.#sdp });
    const { data } = await this.heard('answer', gen);
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: (data as { body: { sdp: string } }).body.sdp });
    await eventually(() => this.#channel.readyState === 'open', undefined, 'the channel opens');
  }

  /** The server's signal of this kind. */
  heard(kind: string, gen: number) {
    return this.peer.next('signal', ({ data }) => {
      const said = data as { kind?: string; gen?: number };
      return said.kind === kind && said.gen === gen;
    });
  }

  /** Sends a frame over the relayed path. */
  send({ gen, keys }: Begun, frame: Uint8Array): void {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(gen);
    this.peer.relay(this.#server, Buffer.concat([number, keys.send.seal(Buffer.concat([Buffer.of(0), frame]))]));
  }

  /** The path that stood for a moment is lost before the server has a session. */
  async leave(begun: Begun): Promise<void> {
    this.send(begun, encodeClose(closeCode.done));
    const isEnd = ({ payload }: { payload: Uint8Array }): boolean => {
      const number = Buffer.from(payload);
      return number.length === 4 && number.readUInt32BE() === begun.gen;
    };
    await eventually(() => this.peer.relayed.some(isEnd), undefined, 'the server ends the path');
  }
}
