import type { StepName } from './journal.ts';

/** Trying the same once more would bring the same. */
export const isHopeless = (code: string): boolean =>
  hopeless.has(code) || (code.startsWith('token_') && code !== 'token_not_yet_valid');

const hopeless = new Set(['bad_option', 'dtls_untrusted', 'path_untrusted', 'secret_mismatch', 'unsupported_version']);

/** What to do about an error, where its own message does not say it; in whole sentences. */
export function adviceFor(code: string, step: StepName): string {
  switch (code) {
    case 'relay_unreachable':
      return 'Check that the relay is running. A proxy in front of it must forward WebSockets to /v1/connect.';
    case 'token_invalid':
      return 'Was it signed with the key of this relay? A new one from the same place would be rejected as well.';
    case 'token_revoked':
      return 'It was taken back. Ask whoever gave you the token or invitation for another one.';
    case 'token_expired':
    case 'token_not_yet_valid':
    case 'token_too_long_lived':
    case 'token_wrong_audience':
    case 'token_wrong_issuer':
      return 'Request a new room token from your backend or the operator of this relay, and paste it.';
    case 'room_taken':
      return 'Another server is in this room. Stop it, or share this tab in another room.';
    case 'room_full':
    case 'rate_limited':
      return 'The relay is at one of its limits. Wait a moment and try again.';
    case 'replaced':
      return 'Another tab or process with the same token replaced this one. Close one of the two.';
    case 'kicked':
      return 'The operator removed this peer from the room. Contact the operator.';
    case 'peer_removed':
      return 'The operator removed the other side from the room. Contact the operator.';
    case 'peer_absent':
      return 'Start the other side, with a token for the same room: share a tab, or run "mcp-rendezvous expose".';
    case 'peer_refused':
      return 'The other side rejected this client. Ask its owner for access.';
    case 'busy':
      return 'The other side has reached its client limit. Try again later.';
    case 'peer_silent':
      return 'The other side is in the room but does not answer. Reload it, or check its log.';
    case 'ice_failed':
      return 'A firewall or browser blocks UDP, or the NATs are strict. Allow UDP, or ask the operator of this relay for a TURN server (TURN_URLS) or for the relayed path (RELAYED_DATA=on). "mcp-rendezvous doctor" on both sides says more.';
    case 'server_failed':
    case 'server_exited':
      return 'The program behind "mcp-rendezvous expose" does not run. Its owner sees why in the output of expose.';
    case 'server_unreachable':
    case 'server_refused':
      return 'Ask the owner of the server to check the URL that "mcp-rendezvous expose" shares, and what runs there.';
    case 'dtls_untrusted':
    case 'secret_mismatch':
      return 'Both sides need the same end-to-end secret and tokens for the same room. If they have them, the connection may be intercepted: do not continue.';
    case 'session_lost':
      return 'Connect again. Requests without a response may have been carried out.';
    case 'unsupported_version':
      return 'Choose another protocol version under “More”, and connect again.';
    case 'bad_option':
      return 'Correct the reported value, and try again.';
    default:
      return step === 'first'
        ? 'The peers are connected, but the MCP server did not answer correctly. Check the trace and the server’s log.'
        : 'Try again. If it fails again, check the logs of the relay and the other side.';
  }
}
