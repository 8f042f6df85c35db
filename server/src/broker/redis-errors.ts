/** Why Redis cannot be used. */
export interface Refusal {
  /** A label of `rendezvous_redis_errors_total`. */
  reason: string;
  /** What happened and what to do, without an address, because `/readyz` may be public. */
  message: string;
}

/**
 * What each failure means, by its code or its text; the first that fits counts. `$1` is what
 * fitted, so that the operator can search for it.
 */
export const refusalRules: [reason: string, pattern: RegExp, message: string][] = [
  [
    'certificate_name',
    /(ERR_TLS_CERT_ALTNAME_INVALID)/,
    "Redis's certificate does not match its host name ($1). Use a name from the certificate in REDIS_URL; in a Cluster, set cluster-announce-hostname and cluster-preferred-endpoint-type hostname.",
  ],
  [
    'certificate_expired',
    /(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)/,
    "Redis's certificate has expired or is not valid yet ($1). Renew it, and check the clocks.",
  ],
  [
    'certificate',
    /(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|CERT_\w+)/,
    "Redis's certificate is not trusted ($1). Set REDIS_CA_FILE to the certificate authority that issued it.",
  ],
  [
    'tls',
    /(EPROTO|ERR_SSL_\w+)/,
    'Redis does not use TLS on this port ($1). Correct the port, or use redis:// instead of rediss:// in REDIS_URL.',
  ],
  [
    'unknown_host',
    /(ENOTFOUND|EAI_AGAIN|EAI_\w+)/,
    "Redis's host name cannot be resolved ($1). Correct it in REDIS_URL, or check this machine's DNS.",
  ],
  [
    'connection_refused',
    /(ECONNREFUSED)/,
    'Redis refused the connection ($1). Start it, or correct the host and port in REDIS_URL.',
  ],
  [
    'files',
    /(EMFILE|ENFILE)/,
    'The relay has no file descriptor left for Redis ($1). Raise the open file limit (ulimit -n).',
  ],
  [
    'no_password',
    /(NOAUTH)/,
    'Redis requires a password ($1). Put user and password into REDIS_URL or REDIS_URL_FILE, and restart the relay.',
  ],
  [
    'wrong_password',
    /(WRONGPASS|invalid password)/i,
    "Redis rejects the relay's user or password ($1). Correct them in REDIS_URL or REDIS_URL_FILE, or in Redis's ACL.",
  ],
  [
    'no_permission',
    /(NOPERM|ACL failure in script|The user executing the script can't[\w ]+)/,
    "Redis's ACL denies the relay's user a required permission ($1). Grant the permissions listed in docs/run/redis.md.",
  ],
  [
    'database',
    /(DB index is out of range|invalid DB index|SELECT is not allowed in cluster mode)/,
    'Redis has no database with the number in REDIS_URL ($1). Use another number, or raise `databases` in Redis.',
  ],
  ['read_only', /(READONLY)/, 'Redis is a read-only replica ($1). Promote it, or point REDIS_URL to the primary.'],
  [
    'replica_outdated',
    /(MASTERDOWN)/,
    'Redis is a replica that has lost its primary ($1). Promote it, or point REDIS_URL to the primary.',
  ],
  [
    'full',
    /(OOM)/,
    'Redis is out of memory ($1). Raise its maxmemory or add memory, and keep maxmemory-policy at noeviction.',
  ],
  [
    'cannot_save',
    /(MISCONF)/,
    'Redis cannot save to disk and rejects writes ($1). Check its log; the disk may be full or read-only.',
  ],
  [
    'replicas_missing',
    /(NOREPLICAS)/,
    'Redis has fewer replicas than min-replicas-to-write requires ($1). Restore the missing replicas.',
  ],
  [
    'loading',
    /(LOADING|loading)/,
    'Redis is still loading its data ($1). Wait until it has finished; its log shows the progress.',
  ],
  [
    'is_cluster',
    /^[^ ]* ?(MOVED|ASK|CROSSSLOT)\b/,
    'Redis runs in Cluster mode ($1). Use redis+cluster:// with some of its nodes in REDIS_URL.',
  ],
  [
    'no_cluster',
    /(cluster support disabled)/,
    'Redis is not a Cluster ($1). Use redis:// instead of redis+cluster:// in REDIS_URL.',
  ],
  ['cluster_down', /(CLUSTERDOWN)/, 'The Redis Cluster is down ($1). Restore the nodes that serve the missing slots.'],
  [
    'too_old',
    /(unknown command)/i,
    'Redis lacks a command that the relay needs ($1). Use Redis 7 or newer, or Valkey.',
  ],
  ['too_many_clients', /(max number of clients)/, 'Redis has reached its client limit ($1). Raise maxclients.'],
  [
    'sentinel',
    /(All sentinels are unreachable|invalid reply)/,
    'No sentinel knows the primary named in REDIS_URL ($1). Correct the name, or check the logs of the sentinels.',
  ],
  [
    'timeout',
    /(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|timed out|[Tt]imeout|does not hear itself)/,
    'Redis did not answer in time ($1). Check that it runs, uses TLS if REDIS_URL starts with rediss, is not overloaded, and is reachable from the relay.',
  ],
];

/** What is left when a connection is gone, after its cause or instead of it. */
export const connectionLost: Refusal = {
  reason: 'connection_lost',
  message:
    'The connection to Redis closed without a reason. Check its log; for Redis with TLS use rediss:// instead of redis:// in REDIS_URL.',
};
const consequence =
  /Connection is closed|no connection to Redis|ECONNRESET|EPIPE|None of startup nodes|refresh slots|isn't writeable|aborted/;

/** What a failure of Redis, or of the way to it, means. */
export function refusalOf(error: unknown): Refusal {
  const text = textOf(error);
  for (const [reason, pattern, message] of refusalRules) {
    const [, found] = pattern.exec(text) ?? [];
    if (found !== undefined) return { reason, message: message.replace('$1', found) };
  }
  if (text === '' || consequence.test(text)) return connectionLost;
  return { reason: 'other', message: `Redis failed (${text.slice(0, 200)}). Check its log.` };
}

/** Whether an error does not say why a connection could not be made. */
export const saysLittle = (error: unknown): boolean =>
  ['sentinel', connectionLost.reason].includes(refusalOf(error).reason);

/** Code and message of an error and of what caused it, or of all when it has several causes. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const { code = '', lastNodeError } = error as NodeJS.ErrnoException & { lastNodeError?: Error };
  const inner = error instanceof AggregateError ? (error.errors as unknown[]) : [lastNodeError ?? error.cause];
  // The relay's own errors say nothing about Redis.
  const own = error.name === 'RelayError' ? '' : `${code} ${error.message}`;
  return [own, ...inner.map(textOf)]
    .map((part) => part.trim())
    .filter(Boolean)
    .join(' ');
}
