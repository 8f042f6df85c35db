import type { RelayErrorCode } from 'mcp-rendezvous-protocol';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

/** What the log says of a rejection: what happened, then what the operator can do. */
interface Refusal {
  level: 'info' | 'warn';
  text: string;
}

/** Each limit by its variable, and its label of `rendezvous_limited_total`. */
export const limits = {
  MAX_PENDING_JOINS: [
    'pending',
    'Too many sockets of this instance have not joined. Look for one address with many of them, or raise MAX_PENDING_JOINS.',
  ],
  MAX_PENDING_JOINS_PER_ADDRESS: [
    'pending',
    'Too many sockets of this address have not joined. If it is a proxy, name it in TRUST_PROXY; if many peers share it, raise MAX_PENDING_JOINS_PER_ADDRESS; else block it.',
  ],
  MAX_CONNECTIONS_PER_ADDRESS: [
    'address',
    'Too many sockets are open from this address. If it is a proxy, name it in TRUST_PROXY; if many peers share it, raise MAX_CONNECTIONS_PER_ADDRESS; else block it.',
  ],
  MAX_HTTP_CONNECTIONS_PER_ADDRESS: [
    'http',
    'Too many connections are open from this address. If it is a proxy, name it in TRUST_PROXY; if many peers share it, raise MAX_HTTP_CONNECTIONS_PER_ADDRESS; else block it.',
  ],
  MAX_JOINS_PER_SECOND_PER_ADDRESS: [
    'joins',
    'Too many joins came from this address. If it is a proxy, name it in TRUST_PROXY; if many peers share it, raise MAX_JOINS_PER_SECOND_PER_ADDRESS; else block it.',
  ],
  MAX_JOINS_PER_SECOND_PER_SUBJECT: [
    'joins',
    'This subject joins too often. Look for a client that joins again and again, and revoke its tokens, or raise MAX_JOINS_PER_SECOND_PER_SUBJECT.',
  ],
  MAX_CONNECTIONS_PER_ISSUER: [
    'issuer',
    'This issuer has as many peers as it may have here. Start more instances, or raise MAX_CONNECTIONS_PER_ISSUER.',
  ],
  MAX_ROOMS: [
    'rooms',
    'This instance has as many rooms as it may have. Start more instances, or raise MAX_ROOMS; if a backend gives each request a room of its own, correct it.',
  ],
  MAX_CLIENTS_PER_ROOM: [
    'clients',
    'This room has as many clients as it may have. Look for clients that do not leave, or raise MAX_CLIENTS_PER_ROOM.',
  ],
  MAX_MESSAGES_PER_SECOND: [
    'messages',
    'A peer sent too many messages. Look for a client that tries again and again, or raise MAX_MESSAGES_PER_SECOND and MAX_MESSAGES_BURST.',
  ],
  MAX_BYTES_PER_SECOND: [
    'bytes',
    'A peer sent too many bytes. Look for a client that is not made with the SDK, or raise MAX_BYTES_PER_SECOND and MAX_BYTES_BURST.',
  ],
  MAX_TOKENS_PER_MINUTE: [
    'tokens',
    'A peer sent too many fresh tokens. Let the backend issue tokens that live longer, or raise MAX_TOKENS_PER_MINUTE and MAX_TOKENS_BURST.',
  ],
  MAX_RELAYED_BYTES_PER_SECOND: [
    'relayed',
    'A peer sent more relayed data than twice its rate for 5 s. Look for a client that is not made with the SDK, or raise MAX_RELAYED_BYTES_PER_SECOND.',
  ],
  MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: [
    'relayed',
    'The peers of this subject send more relayed data than they may, and do not slow down. Look for clients that are not made with the SDK, or raise MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT.',
  ],
  MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER: [
    'relayed',
    'The peers of this issuer send more relayed data than they may, and this one does not slow down. Look for clients that are not made with the SDK, or raise MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER.',
  ],
  MAX_RELAYED_BUFFERED_BYTES_TOTAL: [
    'relayed',
    'Relayed data that waits took too much memory, and most waited at this peer. If many peers stall, start more instances or raise MAX_RELAYED_BUFFERED_BYTES_TOTAL; else look at the network of this one.',
  ],
  MAX_UNREAD_BYTES_TOTAL: [
    'unread',
    'Messages that have come in part took too much memory, and this peer had the most. Look for one subject with many of them, or raise MAX_UNREAD_BYTES_TOTAL.',
  ],
  MAX_BUFFERED_BYTES_TOTAL: [
    'unsent',
    'Frames that peers do not read took too much memory, and most waited for this peer. Look for one subject with many of them, or raise MAX_BUFFERED_BYTES_TOTAL.',
  ],
} as const satisfies Record<string, readonly [label: string, text: string]>;

/** A limit by which the relay refuses something: the environment variable that it is set by. */
export type Limit = keyof typeof limits;

const badClient = 'Update it if it is made with the SDK; else correct it by PROTOCOL.md §3.';

/**
 * Why a socket was closed, by its code. Of three more codes something else says it: a limit, or an
 * error with its stack.
 */
export const closings: Record<Exclude<RelayErrorCode, 'rate_limited' | 'room_full' | 'internal'>, string> = {
  bad_frame: `A client sent something that is not a frame of the protocol. ${badClient}`,
  unknown_type: `A client sent a frame of a type that this relay does not know. ${badClient}`,
  binary_frame: `A client sent a binary frame. ${badClient}`,
  frame_too_large:
    'A client sent a frame that is larger than it may be, or in too many pieces. Raise MAX_FRAME_BYTES, or for tokens MAX_JOIN_BYTES, if it has to be so large.',
  not_joined: `A client sent something before it joined. ${badClient}`,
  join_pending: `A client sent something before its join was answered. ${badClient}`,
  already_joined: `A client joined twice on one socket. ${badClient}`,
  join_timeout:
    'A socket was opened and no join came. If it is not a health check of something in front, look at the network there, or raise JOIN_TIMEOUT_MS.',
  replaced: 'The same subject joined from elsewhere. If both are meant to run, give each a token with its own `sub`.',
  room_taken: 'The room has a server with another `sub`. Stop one of them, or issue tokens for another room.',
  token_mismatch: 'A fresh token was for another issuer, room, role or subject than before. Correct what issues it.',
  kicked: 'An operator removed this peer. Revoke its token if it is not to come back.',
  token_invalid:
    'A token was refused: it cannot be verified, or claims are missing. Compare its key and claims with RELAY_SECRET or RELAY_ISSUERS_FILE; `doctor` shows what is in it.',
  token_expired:
    'A token was refused, or a peer had to go: its `exp` is over. Let the client fetch a fresh one, or issue longer ones.',
  token_not_yet_valid:
    'A token was refused: its `nbf` or `iat` is in the future. Correct the clock of what issues it, or of this machine.',
  token_wrong_audience:
    'A token was refused: its `aud` is another one. Correct `audience` in RELAY_ISSUERS_FILE, or what issues it.',
  token_wrong_issuer:
    'A token was refused: its `iss` is none of those configured. Add it to RELAY_ISSUERS_FILE if it is yours.',
  token_revoked: 'A revoked token was presented, or its peer removed. Issue a new one if that was a mistake.',
  token_too_long_lived:
    'A token was refused: its `exp` is too far ahead. Issue it for a shorter time, or raise MAX_TOKEN_LIFETIME_SECONDS.',
  going_away:
    'This instance stops, and a peer had not moved. It comes back by itself; raise DRAIN_WINDOW_MS if many do.',
  unavailable:
    "A join or a fresh token could not be decided: Redis or an issuer's keys cannot be used. Another line says which, and why; see to that.",
  slow_consumer:
    'A peer does not read what it is sent. Look at its machine and network, or raise MAX_BUFFERED_BYTES if it is only slow.',
  ping_timeout:
    'A peer did not answer pings. If its machine did not sleep, look at its network and at time-outs of proxies, or raise PING_INTERVAL_MS.',
};

/** What is refused before there is a socket that could be closed. */
export const httpRefusals = {
  origin_not_allowed: 'A page of this origin was refused. Add it to ALLOWED_ORIGINS if it is yours.',
  console_origin:
    "Development tokens were refused to a page that is not this relay's own. Open its console at a name of loopback.",
  subprotocol_required:
    'A WebSocket without the subprotocol mcp-rendezvous.v1 was refused. If the client is made with the SDK, let the proxy in front pass on Sec-WebSocket-Protocol.',
  upgrade_required:
    'A request for the address of WebSockets was none. If it came from a client, let the proxy in front pass on the headers Upgrade and Connection.',
  not_found:
    'A WebSocket for another address than /v1/connect was refused. Correct the URL of the client, or the path that the proxy in front passes on.',
  admin_token:
    'A request for operators came without the right token. Give whoever it was the one in ADMIN_TOKEN, or block the address.',
  admin_guesses:
    'Requests for operators came with many wrong tokens. Stop the script that has an old one, or block the address.',
  bad_request: 'A request was refused because of its form. Correct whoever sent it; the answer says what is wrong.',
  request_timeout:
    'A connection was closed because no whole request came within 10 s. If it was a proxy, let it wait for the whole request, or close what is idle earlier.',
  header_overflow:
    'A request was refused because its headers are larger than 16 KB. Remove cookies or headers that a proxy in front adds.',
  not_http:
    'A connection was closed because what came is not HTTP. If it was a proxy, let it speak HTTP/1.1 without TLS to this relay.',
} as const;

/** A rejection that is not by a limit. */
export type RefusalKind = keyof typeof closings | keyof typeof httpRefusals;

const warnings = new Set<string>(['admin_token', 'admin_guesses', 'origin_not_allowed']);

/** Lines about one kind of rejection in a window, and how long a window is, in milliseconds. */
const maxLines = 20;
const windowMs = 60_000;
/** The longest text that somebody else chose, in UTF-16 units. */
const maxText = 256;

/** Whose rejection it is: address, issuer, subject, room, and the like. No secret. */
export type Whose = Readonly<Record<string, unknown>>;

interface Window {
  refusal: Refusal;
  /** How often each was not logged again, by whose rejection it is. */
  repeated: Map<string, { whose: Whose; times: number }>;
  /** RejectionLog of others that were not logged, and whose the last one was. */
  others: number;
  other: Whose | undefined;
  timer: NodeJS.Timeout;
}

/**
 * Logs each rejection: what, whose, and what to do. Whoever causes many of them cannot fill
 * the log with them: one is logged once in a minute, and 20 of a kind; what came beside them is
 * counted in one line at the end of the minute.
 */
export class RejectionLog {
  readonly #log: Logger;
  readonly #metrics: Pick<Metrics, 'limited'>;
  readonly #windows = new Map<string, Window>();

  constructor(log: Logger, metrics: Pick<Metrics, 'limited'>) {
    this.#log = log;
    this.#metrics = metrics;
  }

  limited(limit: Limit, whose: Whose): void {
    const [label, text] = limits[limit];
    this.#metrics.limited.inc({ limit: label });
    this.#say(limit, { level: 'warn', text }, { limit: label, ...whose });
  }

  /** A socket is closed by the relay, because of a limit if one is named. */
  closed(code: RelayErrorCode, limit: Limit | undefined, whose: Whose): void {
    if (limit) this.limited(limit, whose);
    // The error of the first is in the log. The other two always come with their limit.
    else if (code !== 'internal' && code !== 'rate_limited' && code !== 'room_full') this.refused(code, whose);
  }

  refused(kind: RefusalKind, whose: Whose): void {
    const level = warnings.has(kind) ? 'warn' : 'info';
    this.#say(kind, { level, text: { ...closings, ...httpRefusals }[kind] }, { code: kind, ...whose });
  }

  /** Says what has not been said yet. */
  close(): void {
    for (const { timer } of this.#windows.values()) clearTimeout(timer);
    for (const kind of this.#windows.keys()) this.#summarize(kind);
  }

  #say(kind: string, refusal: Refusal, details: Whose): void {
    const whose = Object.fromEntries(Object.entries(details).map(([name, value]) => [name, short(value)]));
    // A peer has another name each time that it joins.
    const key = JSON.stringify({ ...whose, peer: undefined });
    const window = this.#windows.get(kind) ?? this.#open(kind, refusal);
    const before = window.repeated.get(key);
    if (before) before.times++;
    else if (window.repeated.size >= maxLines) {
      window.others++;
      window.other = whose;
    } else {
      window.repeated.set(key, { whose, times: 0 });
      this.#log[refusal.level](whose, refusal.text);
    }
  }

  #open(kind: string, refusal: Refusal): Window {
    const timer = setTimeout(() => this.#summarize(kind), windowMs).unref();
    const window: Window = { refusal, repeated: new Map(), others: 0, other: undefined, timer };
    this.#windows.set(kind, window);
    return window;
  }

  /** How often it happened that was not logged, and whose it was most often. */
  #summarize(kind: string): void {
    const window = this.#windows.get(kind);
    if (!window) return;
    this.#windows.delete(kind);
    const { refusal, repeated, others, other } = window;
    const [most] = [...repeated.values()].toSorted((a, b) => b.times - a.times);
    let times = others;
    for (const each of repeated.values()) times += each.times;
    if (times === 0) return;
    this.#log[refusal.level]({ ...(most?.times ? most.whose : other), times }, refusal.text);
  }
}

/** Claims and headers may be long, and each character of them several bytes. */
const short = (value: unknown): unknown =>
  typeof value === 'string' && value.length > maxText ? `${value.slice(0, maxText).toWellFormed()}…` : value;
