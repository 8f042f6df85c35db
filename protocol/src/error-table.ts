/** What a code tells people. The page of all codes is made from this (scripts/codes.ts). */
export interface CodeEntry {
  /** What happened, in one sentence. */
  what: string;
  /** What to do about it. */
  remedy: string;
  /** The same attempt may succeed later. `depends`: the error's own `retryable` says it. */
  retryable: 'yes' | 'no' | 'depends';
  /** Whose program receives the code. `both`: whichever peer it happens to. */
  seenBy: 'client' | 'server' | 'both';
}

/** Codes that the SDK adds to those of the relay. */
export const sdkErrors = {
  bad_option: {
    what: 'An option is missing or invalid. Nothing was tried.',
    remedy: 'Correct the option that the message names.',
    retryable: 'no',
    seenBy: 'both',
  },
  relay_unreachable: {
    what: "The relay's URL does not answer, or does not answer like a relay.",
    remedy: 'Run `mcp-rendezvous doctor`, or look up the `detail` of the error in the table below.',
    retryable: 'yes',
    seenBy: 'both',
  },
  token_unavailable: {
    what: 'The token function threw, returned no token, or did not answer in time.',
    remedy: 'See `cause`. Check that your backend answers and that the user is still signed in.',
    retryable: 'yes',
    seenBy: 'both',
  },
  peer_absent: {
    what: 'No server (or no client) joined the room in time.',
    remedy: 'Start the other peer, and check that both tokens have the same `room` and issuer.',
    retryable: 'yes',
    seenBy: 'both',
  },
  peer_gone: {
    what: 'The other peer left before the session was established.',
    remedy: 'Connect again. If it happens again, look at the log of the other peer.',
    retryable: 'yes',
    seenBy: 'both',
  },
  peer_removed: {
    what: 'The operator removed the other peer from the relay, or revoked its token. Its session has ended.',
    remedy: 'Ask the operator. The other peer needs another token.',
    retryable: 'no',
    seenBy: 'both',
  },
  peer_silent: {
    what: 'The other peer is online but does not answer.',
    remedy: 'Check whether its process hangs or its machine sleeps, then connect again.',
    retryable: 'yes',
    seenBy: 'both',
  },
  busy: {
    what: 'The server has reached its session limit.',
    remedy: 'Try again later, close a session, or raise the limit (`expose --max-sessions`).',
    retryable: 'yes',
    seenBy: 'client',
  },
  peer_refused: {
    what: 'The other peer rejected this one.',
    remedy: "Check what the server's `authorize` expects of the token.",
    retryable: 'no',
    seenBy: 'both',
  },
  bad_signal: {
    what: 'The signaling of the other peer is invalid: malformed SDP, or a message of the wrong form.',
    remedy: 'Update both peers. If one is not made with this SDK, compare it with PROTOCOL.md §6.',
    retryable: 'no',
    seenBy: 'both',
  },
  ice_failed: {
    what: 'No network path between the two peers works, neither a direct one nor one through a TURN server.',
    remedy: 'Run `mcp-rendezvous doctor` on both machines, or look up the `detail` of the error in the table below.',
    retryable: 'yes',
    seenBy: 'both',
  },
  dtls_untrusted: {
    what: 'The certificate of the WebRTC connection (DTLS) is not the one that the other peer announced, or could not be checked. Nothing was sent.',
    remedy: 'Somebody may intercept the connection. Do not simply try again: use an end-to-end secret.',
    retryable: 'no',
    seenBy: 'both',
  },
  bad_channel: {
    what: 'The data channel, or a frame on it, violates PROTOCOL.md §7.',
    remedy: 'Update both peers. If one is not made with this SDK, compare it with PROTOCOL.md §7.',
    retryable: 'no',
    seenBy: 'both',
  },
  secret_mismatch: {
    what: 'The other peer did not prove that it knows the end-to-end secret and sees the same connection. No MCP message was sent.',
    remedy:
      'Give both sides the same kind of access. `expose` with a key or with a server invitation takes clients with an invitation only, because they have a secret; ' +
      '`expose` with a token takes clients with a token. If you pass a secret yourself, pass the same one on both sides. If they are the same already, do not trust this relay.',
    retryable: 'no',
    seenBy: 'both',
  },
  path_untrusted: {
    what: 'The peer on a new network path is not the one that the session began with. The session has ended.',
    remedy: 'Somebody may be in the middle of one of the paths. Use an end-to-end secret, and check the relay.',
    retryable: 'no',
    seenBy: 'both',
  },
  session_lost: {
    what: 'The connection was lost and did not come back in time, or the other peer does not know the session any more.',
    remedy: 'Begin a new session. The last messages may not have arrived.',
    retryable: 'no',
    seenBy: 'both',
  },
  connect_timeout: {
    what: '`connectTimeoutMs` passed before the session was established.',
    remedy: 'Try again. If it happens again, run `mcp-rendezvous doctor` on both machines.',
    retryable: 'yes',
    seenBy: 'both',
  },
  aborted: {
    what: "The application's AbortSignal fired, or a newer attempt replaced this one.",
    remedy: 'Nothing, if that was intended.',
    retryable: 'no',
    seenBy: 'both',
  },
  closed: {
    what: 'The transport is closed, or was never started.',
    remedy: 'Create a new transport: one that was closed cannot be started again.',
    retryable: 'no',
    seenBy: 'both',
  },
  message_too_large: {
    what: 'A message exceeds the size limit of the other side.',
    remedy: 'Send less at once, or raise `maxMessageBytes` on the other side.',
    retryable: 'no',
    seenBy: 'both',
  },
  bad_message: {
    what: 'A received message is not JSON-RPC, or a message to send is not JSON. It was dropped; the session continues.',
    remedy: 'Correct the program that made the message.',
    retryable: 'no',
    seenBy: 'both',
  },
  invite_forbidden: {
    what: 'The relay does not let this server invite clients, or revoke that invitation.',
    remedy:
      'Give the server a token with the claim `invite`, of an issuer whose key the relay has. It can revoke only its own invitations.',
    retryable: 'no',
    seenBy: 'server',
  },
  signaling_failed: {
    what: 'The signaling channel failed.',
    remedy: 'See `cause`. If you use signaling of your own, check its channel.',
    retryable: 'depends',
    seenBy: 'both',
  },
  engine_failed: {
    what: 'The WebRTC engine failed for another reason.',
    remedy: 'See `cause`. Another engine may help: pass it as `rtc`.',
    retryable: 'no',
    seenBy: 'both',
  },
} satisfies Record<string, CodeEntry>;

/** What a `detail` tells people, and the code of the errors that have it. */
interface DetailEntry {
  of: 'relay_unreachable' | 'ice_failed';
  what: string;
  remedy: string;
}

/** Why a relay cannot be reached, or why there is no network path. */
export const errorDetails = {
  name_not_found: {
    of: 'relay_unreachable',
    what: 'The host name of the relay cannot be resolved.',
    remedy: 'Check the URL and the DNS of this network. Behind an HTTP proxy, set `HTTPS_PROXY`.',
  },
  connection_refused: {
    of: 'relay_unreachable',
    what: 'Nothing listens on the port of the relay.',
    remedy: 'Start the relay, or correct the port.',
  },
  timed_out: {
    of: 'relay_unreachable',
    what: 'The relay did not answer in time.',
    remedy: 'Check that no firewall drops packets to this port, and that the relay does not hang.',
  },
  no_route: {
    of: 'relay_unreachable',
    what: 'There is no route to the relay.',
    remedy: 'Check that this machine is online.',
  },
  connection_cut: {
    of: 'relay_unreachable',
    what: 'The connection was closed during the WebSocket handshake.',
    remedy: 'Configure the proxy or firewall on the way to allow WebSockets.',
  },
  certificate_rejected: {
    of: 'relay_unreachable',
    what: 'The TLS certificate is rejected: see the code of `cause`.',
    remedy:
      'For your own authority, pass `--ca-file` or set `NODE_EXTRA_CA_CERTS`. Where a firewall inspects TLS, set `NODE_USE_SYSTEM_CA=1`.',
  },
  no_tls: {
    of: 'relay_unreachable',
    what: 'The port does not speak TLS.',
    remedy: 'Correct the port, or use `ws://` for a relay without TLS.',
  },
  http_status: {
    of: 'relay_unreachable',
    what: 'HTTP answers with an error status instead of a WebSocket.',
    remedy:
      'With 404, correct the path. With 401, 403 or 407, a proxy or firewall wants authentication. With 400 or 426, a proxy drops `Upgrade` or `Sec-WebSocket-Protocol`. With 502 to 504, start the relay behind the proxy.',
  },
  redirected: {
    of: 'relay_unreachable',
    what: 'HTTP redirects to another address, as a captive portal does.',
    remedy: 'Open a web page and log in. If `ws://` redirects to `https://`, use `wss://`.',
  },
  not_a_relay: {
    of: 'relay_unreachable',
    what: 'Something other than a relay answers.',
    remedy: 'Correct the URL, or log in to the captive portal. In a page, check `ALLOWED_ORIGINS` at the relay, too.',
  },
  proxy_failed: {
    of: 'relay_unreachable',
    what: 'The HTTP proxy in the environment variables cannot be used, or does not connect to the relay.',
    remedy: 'Correct `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` or `NO_PROXY`.',
  },
  offline: {
    of: 'relay_unreachable',
    what: 'The browser says that it is offline.',
    remedy: 'Check the network of this device.',
  },
  mixed_content: {
    of: 'relay_unreachable',
    what: 'A page that was loaded over HTTPS may not open `ws:`.',
    remedy: 'Use `wss://`.',
  },
  no_address: {
    of: 'ice_failed',
    what: 'This machine has no network address for WebRTC.',
    remedy: 'Check that it is online, and that no policy of its browser blocks UDP.',
  },
  no_remote_address: {
    of: 'ice_failed',
    what: 'The other peer sent no address that can be used from here.',
    remedy: 'Check that the other machine is online. If its browser hides its addresses, set `STUN_URLS` at the relay.',
  },
  no_stun: {
    of: 'ice_failed',
    what: 'No STUN server is configured, so that only peers in the same network are reachable.',
    remedy: 'Set `STUN_URLS` at the relay.',
  },
  udp_blocked: {
    of: 'ice_failed',
    what: 'No STUN server answered: a firewall may block UDP.',
    remedy: 'Configure TURN over TCP and TLS (`turns:`), or allow the relayed path.',
  },
  turn_refused: {
    of: 'ice_failed',
    what: 'The TURN server rejected the credentials, or has no capacity left.',
    remedy: "Compare the relay's `TURN_SECRET` with coturn's `static-auth-secret`, the clocks, and the quotas.",
  },
  turn_unreachable: {
    of: 'ice_failed',
    what: 'No TURN server answered.',
    remedy: 'Check its address, its port, and the firewalls on the way.',
  },
  no_path: {
    of: 'ice_failed',
    what: 'Both peers know their public addresses, and no packet gets through between them.',
    remedy: 'Configure TURN, or allow the relayed path.',
  },
} satisfies Record<string, DetailEntry>;
