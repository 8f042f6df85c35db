import type { StepName } from './journal.ts';

/** What to do about an error, where its own message does not say it; in whole sentences. */
export function adviceFor(code: string, step: StepName): string {
  switch (code) {
    case 'relay_unreachable':
      return 'Is the relay running? A proxy in front of it must pass WebSockets on to /v1/connect.';
    case 'token_expired':
    case 'token_invalid':
    case 'token_revoked':
    case 'token_not_yet_valid':
    case 'token_too_long_lived':
    case 'token_wrong_audience':
    case 'token_wrong_issuer':
      return 'Ask your backend, or the operator of this relay, for a fresh room token, and paste that one.';
    case 'room_taken':
      return 'Another server is in this room. Stop it, or share this tab in another room.';
    case 'room_full':
    case 'rate_limited':
      return 'The relay is at one of its limits. Wait a moment and try again.';
    case 'replaced':
      return 'The same token is in use in another tab or process, which took the place. Close one of the two.';
    case 'kicked':
      return 'The operator removed this peer from the room.';
    case 'peer_removed':
      return 'The operator removed the other side from the room.';
    case 'peer_absent':
      return 'Start the other side, with a token for the same room: share a tab, or run "mcp-rendezvous expose".';
    case 'peer_refused':
      return 'The other side did not want this client.';
    case 'busy':
      return 'The other side serves as many clients as it can. Wait until one has left, and try again.';
    case 'peer_silent':
      return 'The other side is in the room but does not answer. Reload it, or look at its log.';
    case 'ice_failed':
      return 'Run "mcp-rendezvous doctor" on both sides. Behind strict NATs or firewalls the relay needs a TURN server (TURN_URLS).';
    case 'dtls_untrusted':
    case 'secret_mismatch':
      return 'Both sides need the same end-to-end secret and tokens for the same room. If they have them, somebody may sit between them: do not go on.';
    case 'session_lost':
      return 'Connect again. What had no answer yet may or may not have been carried out.';
    case 'bad_option':
      return 'Change what the message names, and try again.';
    default:
      return step === 'first'
        ? 'The peers are connected, but the MCP server did not answer as one. Look at the trace and at the server’s log.'
        : 'Try again. If it happens again, look at the logs of the relay and of the other side.';
  }
}
