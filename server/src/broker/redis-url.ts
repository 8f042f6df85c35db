export interface RedisAddress {
  kind: 'single' | 'cluster' | 'sentinel';
  tls: boolean;
  username?: string;
  password?: string;
  /** One for `single`; with `sentinel` the sentinels. */
  nodes: { host: string; port: number }[];
  db: number;
  /** What the sentinels call the master; empty but for `sentinel`. */
  master: string;
}

const form = /^(rediss?)(?:\+(cluster|sentinel))?:\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^@/?#]+)(?:\/([^?#]*))?$/;
const node = /^(?:\[([\da-fA-F:.]+)\]|([^[\]:\s]+))(?::(\d{1,5}))?$/;
const ports = { single: 6379, cluster: 6379, sentinel: 26_379 };

/**
 * Reads one of the forms of `REDIS_URL`; undefined when it has none of them:
 * `redis://user:password@host:port/db`, `redis+cluster://user:password@host:port,host:port`,
 * `redis+sentinel://user:password@host:port,host:port/master/db`, each with `rediss` for TLS. User,
 * password, ports and db may be left out; user and password are percent-encoded.
 */
export function parseRedisUrl(url: string): RedisAddress | undefined {
  const [, scheme, named = 'single', user = '', secret = '', hosts = '', path = ''] = form.exec(url) ?? [];
  if (scheme === undefined) return undefined;
  const kind = named as RedisAddress['kind'];
  const nodes = hosts.split(',').map((text) => {
    const [, v6, name, port] = node.exec(text) ?? [];
    return { host: v6 ?? name ?? '', port: Number(port ?? ports[kind]) };
  });
  const parts = path === '' ? [] : path.split('/');
  const master = kind === 'sentinel' ? (parts.shift() ?? '') : '';
  const db = parts.shift() ?? '0';
  const username = decoded(user);
  const password = decoded(secret);
  if (username === undefined || password === undefined) return undefined;
  if (nodes.some(({ host, port }) => host === '' || port < 1 || port > 65_535)) return undefined;
  if (kind === 'single' && nodes.length > 1) return undefined;
  if (kind === 'sentinel' && master === '') return undefined;
  // A cluster has one database only.
  if (parts.length > 0 || !/^\d{1,5}$/.test(db) || (kind === 'cluster' && path !== '')) return undefined;
  return {
    kind,
    tls: scheme === 'rediss',
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    nodes,
    db: Number(db),
    master,
  };
}

/** A `REDIS_URL` without its password, for the log. */
export const withoutPassword = (url: string): string => url.replace(/^([^:]+:\/\/[^:@/]*):[^@/]*@/, '$1@');

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // a percent sign that stands for itself
  }
}
