/** RFC 9260 §3.1, §3.2, §3.2.1. */
const packetHeaderBytes = 12;
const headerBytes = 4;

/**
 * The chunks that werift reads parameters of, and where these begin (RFC 9260 §3.3, RFC 6525
 * §3.1).
 */
const parametersAt: Readonly<Record<number, number>> = {
  1: 20, // INIT
  2: 20, // INIT ACK
  4: 4, // HEARTBEAT
  5: 4, // HEARTBEAT ACK
  6: 4, // ABORT
  9: 4, // ERROR
  130: 4, // RE-CONFIG
};
const data = 0;

/**
 * Chunks other than DATA in a packet, and their parameters. An association has use for a handful,
 * and werift answers many of them with a packet each.
 */
const mostParts = 64;

/**
 * Whether each chunk of a packet, and each parameter, has a length that holds its own header and
 * ends within what it is a part of. werift reads one with a length of 0 again and again, until the
 * memory of the process is used up: 16 bytes ended it.
 */
export function isReadable(packet: Buffer): boolean {
  let parts = 0;
  /** Walks through what is between two places; false where a length is wrong, or `visit` is. */
  const walk = (from: number, end: number, visit: (at: number, end: number) => boolean): boolean => {
    for (let at = from; at + headerBytes <= end;) {
      const length = packet.readUInt16BE(at + 2);
      if (length < headerBytes || at + length > end || !visit(at, at + length)) return false;
      at += Math.ceil(length / 4) * 4;
    }
    return true;
  };
  const count = (): boolean => ++parts <= mostParts;
  return walk(packetHeaderBytes, packet.length, (at, end) => {
    const type = packet[at]!;
    if (type === data) return true;
    const first = parametersAt[type];
    return count() && (first === undefined || walk(at + first, end, count));
  });
}
