/** The address of a STUN or TURN server. */
export interface IceUrl {
  scheme: 'stun' | 'stuns' | 'turn' | 'turns';
  /** A name, or an IP address without brackets. */
  host: string;
  /** As the address says, or else the default of its scheme. */
  port: number;
  /** Of a `stuns` or `turns` address: inside of TLS. */
  transport: 'udp' | 'tcp';
}

/**
 * Reads `stun:host:port` (RFC 7064 §3.1) and `turn:host:port?transport=udp` (RFC 7065 §3.1), with
 * `stuns` and `turns` for TLS. Undefined if it is invalid: an engine may refuse every connection
 * that names it.
 */
export function parseIceUrl(url: string): IceUrl | undefined {
  const [, name = '', host = '', port, transport] = form.exec(url) ?? [];
  const scheme = name.toLowerCase() as IceUrl['scheme'];
  // An address with dots or in brackets may look like one and be none.
  if (!URL.canParse(`http://${host}`)) return undefined;
  if (transport !== undefined && scheme.startsWith('stun')) return undefined;
  const secure = scheme.endsWith('s');
  const number = port === undefined ? (secure ? 5349 : 3478) : Number(port);
  if (number < 1 || number > 65_535) return undefined;
  return {
    scheme,
    host: host.replace(/^\[|\]$/g, ''),
    port: number,
    transport: (transport?.toLowerCase() as IceUrl['transport'] | undefined) ?? (secure ? 'tcp' : 'udp'),
  };
}

/**
 * An address as a message may quote it, also when it is invalid: in quotation marks, without
 * credentials.
 */
export const quoteIceUrl = (url: string): string => JSON.stringify(url.replace(/^([^:]*:)?.*@/s, '$1…@').slice(0, 200));

const form = /^(stuns?|turns?):(\[[\da-f:.]+\]|[^\s[\]:?/@#\\%]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i;
