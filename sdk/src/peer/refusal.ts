import { type ByeCode, RendezvousError } from 'mcp-rendezvous-protocol';

/** A handshake that fails does not tell which of these it is. */
export const secretsDiffer = (cause?: unknown): RendezvousError =>
  new RendezvousError(
    'secret_mismatch',
    'The end-to-end secrets differ, or only one side has one. Configure the same secret on both sides; if they are the same, do not trust this relay.',
    { cause },
  );

/** The same on a side that has none. */
export const noSecretHere = (cause?: unknown): RendezvousError =>
  new RendezvousError(
    'secret_mismatch',
    'This side has no end-to-end secret, and the other side seems to have one. Configure the same secret on both sides; ' +
      'a client has it from an invitation to its server.',
    { cause },
  );

const untrusted = (): RendezvousError =>
  new RendezvousError(
    'path_untrusted',
    'The other peer could not verify that this path leads to the peer of the session, and ended the session: somebody may be in between.',
  );

/** What a `bye` of the other side means here. */
export function refusal(code: ByeCode, message: string): RendezvousError {
  switch (code) {
    case 'failed':
    case 'closed':
      if (message === 'secret_mismatch') return secretsDiffer();
      if (message === 'path_untrusted') return untrusted();
      return new RendezvousError('peer_gone', `The other peer gave up: ${message}`, { retryable: true });
    case 'no_session':
      return new RendezvousError('session_lost', `The other peer cannot continue the session: ${message}`);
    case 'busy':
      return new RendezvousError('busy', `The other peer is busy: ${message}`, { retryable: true });
    case 'refused':
      return new RendezvousError('peer_refused', `The other peer rejected the connection (${code}): ${message}`);
  }
}
