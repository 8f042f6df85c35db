import { randomBytes } from 'node:crypto';
import type { RTCSctpTransport } from 'werift';
import { isOwnAddress } from '../addresses.ts';
import { type CandidatePair, iceInternals, type SctpInternals, sctpInternals } from './internals.ts';

/**
 * What is tried, in bytes: the most that one DTLS record holds (RFC 6347 §4.1), and what fits into
 * the largest datagram that macOS sends unless it is told otherwise, 9,216.
 */
const sizes: readonly number[] = [9_000, 16_384];
/** RFC 9260 §3.1, §3.3.1. */
const headerBytes = 12;
const dataHeaderBytes = 16;

/** RFC 9260 §3.3.5. */
const chunkType = { heartbeat: 4, heartbeatAck: 5 } as const;
const infoParameter = 1;
const infoHeaderBytes = 8;
const nameBytes = 8;

/** With how many packets an association begins: RFC 9260 §7.2.1, as werift has it. */
const initialPackets = 3;

/**
 * What a HEARTBEAT says to an adapter like this one, in front of its name: "do you read large
 * packets?", and "I do". Whoever else is there sends it back and takes no notice (RFC 9260 §8.3).
 */
const words = { question: Buffer.from('mcp-rendezvous?'), answer: Buffer.from('mcp-rendezvous!') } as const;

/**
 * Between two processes of one machine packets may be as large as a record: most of what a packet
 * costs is the same for any size, and 1 MB in packets for the internet is 862 of them. Other
 * implementations read a few thousand bytes of a packet, and libwebrtc's connection stands still
 * behind a larger one: so the other side is asked first whether it is this adapter. Then a probe of
 * each size is sent, which comes back where it passes; larger packets follow.
 */
export function enlargePackets(transport: RTCSctpTransport): void {
  const { sctp } = sctpInternals(transport);
  const usual = sctp.maxPayloadSize;
  /** The pair that the size is for. */
  let pair: CandidatePair | undefined;
  let probe: Buffer | undefined;
  /** The question was sent and not answered: a probe costs 800 times an answer. */
  let asked = false;

  const send = sctp.send;
  sctp.send = (streamId, ppId, data, how) => {
    const { nominated } = iceInternals(transport.transport);
    // A session of small messages needs no larger packets.
    if (data.length > usual && nominated !== pair) {
      pair = nominated;
      sctp.maxPayloadSize = usual;
      probe = undefined;
      asked = false;
      if (pair && isOnThisMachine(transport, pair)) {
        probe = randomBytes(nameBytes);
        asked = true;
        beat(words.question, probe);
      }
    }
    return send(streamId, ppId, data, how);
  };

  const receiveChunk = sctp.receiveChunk.bind(sctp);
  sctp.receiveChunk = (chunk) => {
    for (const [type, info] of chunk.params ?? []) {
      if (type !== infoParameter) continue;
      if (chunk.type === chunkType.heartbeat) takeWord(info);
      if (chunk.type === chunkType.heartbeatAck) takeAnswer(info);
    }
    return receiveChunk(chunk);
  };

  const beat = (word: Buffer, name: Buffer, size = 0): void =>
    void sctp.sendChunk({ type: chunkType.heartbeat, bytes: heartbeat(word, name, size) }).catch(() => {});

  function takeWord(info: Buffer): void {
    const word = info.subarray(0, words.question.length);
    const name = info.subarray(word.length, word.length + nameBytes);
    if (word.equals(words.question)) beat(words.answer, name);
    if (!asked || !word.equals(words.answer) || !probe?.equals(name)) return;
    asked = false;
    for (const size of sizes) beat(noWord, probe, size);
  }

  function takeAnswer(info: Buffer): void {
    const size = headerBytes + infoHeaderBytes + info.length;
    if (probe?.equals(info.subarray(0, nameBytes)) && sizes.includes(size)) adopt(sctp, size);
  }
}

function adopt(sctp: SctpInternals, size: number): void {
  const payload = size - headerBytes - dataHeaderBytes;
  if (payload <= sctp.maxPayloadSize) return;
  // What congestion control counts in are packets.
  sctp.cwnd = Math.max(sctp.cwnd, Math.min(sctp.cwnd / sctp.maxPayloadSize, initialPackets) * payload);
  sctp.maxPayloadSize = payload;
}

/** What is sent there never leaves it, and goes to the other side and not to its TURN server. */
function isOnThisMachine(transport: RTCSctpTransport, { protocol, remoteAddr: [host, port] }: CandidatePair): boolean {
  if (protocol.turn || !isOwnAddress(host)) return false;
  const { remoteCandidates } = iceInternals(transport.transport);
  return remoteCandidates.some((other) => other.type === 'host' && other.host === host && other.port === port);
}

const noWord = Buffer.alloc(0);

/** @param size of the packet that it fills. @default what it needs */
function heartbeat(word: Buffer, name: Buffer, size: number): Buffer {
  const info = Buffer.concat([word, name]);
  const length = Math.max(infoHeaderBytes + info.length, size - headerBytes);
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4);
  bytes[0] = chunkType.heartbeat;
  bytes.writeUInt16BE(length, 2);
  bytes.writeUInt16BE(infoParameter, 4);
  bytes.writeUInt16BE(length - 4, 6);
  info.copy(bytes, infoHeaderBytes);
  return bytes;
}
