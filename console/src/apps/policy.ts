import { isObject } from '../rpc/rpc.ts';
import { textOf } from '../rpc/trace.ts';

/** What the document of an app may load, and from where. */
export interface AppPolicy {
  /** The Content-Security-Policy. */
  text: string;
  /** Origins that the app reaches; it reaches no others. */
  hosts: string[];
  /** The same as the server declares it. */
  granted: { connectDomains: string[]; resourceDomains: string[] };
  /** What its server declares and does not get, in words. */
  ignored: string[];
}

/** More than that no person reads before agreeing. */
const mostHosts = 50;

/** An origin as a policy has it, with at most one `*`: the leftmost of three or more labels. */
const origin =
  /^(https?|wss?):\/\/((?:\*\.(?=[^.:]+\.))?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)(?::\d{1,5})?$/;
const loopback = new Set(['localhost', '127.0.0.1']);

/**
 * The policy of an app, from the metadata of its own resource and nothing else. Each entry is an
 * origin or it is left out, so that no text of the server's can be a directive, a keyword or a
 * scheme.
 *
 * @param csp `_meta.ui.csp` of the resource
 * @param isLocal the console is on this machine: then the app's files may be, too
 */
export function policyOf(csp: unknown, isLocal: boolean): AppPolicy {
  const declared = isObject(csp) ? csp : {};
  const ignored: string[] = [];
  const hostsOf = (member: string, secure: string[], plain: string[]): string[] => {
    const listed = declared[member];
    if (listed === undefined) return [];
    if (!Array.isArray(listed)) {
      ignored.push(`${member} is not a list`);
      return [];
    }
    if (listed.length > mostHosts) ignored.push(`${member} beyond the first ${mostHosts}`);
    const found = listed.slice(0, mostHosts).flatMap((entry: unknown) => {
      const text = typeof entry === 'string' ? entry.toLowerCase() : '';
      const [, scheme = '', host = ''] = origin.exec(text) ?? [];
      if (secure.includes(scheme) || (plain.includes(scheme) && isLocal && loopback.has(host))) return [text];
      ignored.push(`${textOf(entry).slice(0, 100)} in ${member}`);
      return [];
    });
    return [...new Set(found)];
  };
  const resources = hostsOf('resourceDomains', ['https'], ['http']);
  const connections = hostsOf('connectDomains', ['https', 'wss'], ['http', 'ws']);
  for (const member of ['frameDomains', 'baseUriDomains']) {
    if (declared[member] !== undefined) ignored.push(`${member}: apps have no frames and no other base here`);
  }
  const directives = {
    'default-src': ["'none'"],
    'script-src': ["'unsafe-inline'", ...resources],
    'style-src': ["'unsafe-inline'", ...resources],
    'img-src': ['data:', 'blob:', ...resources],
    'font-src': ['data:', ...resources],
    'media-src': ['data:', 'blob:', ...resources],
    'connect-src': connections.length > 0 ? connections : ["'none'"],
    'frame-src': ["'none'"],
    'worker-src': ["'none'"],
    'object-src': ["'none'"],
    'base-uri': ["'none'"],
    'form-action': ["'none'"],
  };
  const text = Object.entries(directives)
    .map(([name, sources]) => [name, ...sources].join(' '))
    .join('; ');
  const granted = { connectDomains: connections, resourceDomains: resources };
  return { text, hosts: [...new Set([...connections, ...resources])], granted, ignored };
}
