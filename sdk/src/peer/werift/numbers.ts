import type { DtlsInternals } from './internals.ts';

/**
 * Lets an association count its records upwards only (RFC 6347 §4.1). werift begins again behind
 * its Finished, which is encrypted already: a later record has the number of the Finished, so that
 * the other side drops it as a replay (§4.1.2.6) and is without it for a second, and both have been
 * encrypted with the same nonce, which takes from AES-GCM its authenticity (RFC 5288 §3).
 */
export function countUpwards({ dtls }: DtlsInternals): void {
  let number = dtls.recordSequenceNumber;
  Object.defineProperty(dtls, 'recordSequenceNumber', {
    get: () => number,
    set: (next: number) => {
      // In the clear werift may begin again with a handshake: a server does, behind its
      // HelloVerifyRequest.
      if (next > number || dtls.epoch === 0) number = next;
    },
  });
}
