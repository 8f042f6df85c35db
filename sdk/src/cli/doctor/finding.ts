import { printable } from '../log.ts';

/** What is looked at, in this order. Stable names, for programs that read `--json`. */
export type Check =
  | 'relay.proxy'
  | 'relay.dns'
  | 'relay.tcp'
  | 'relay.tls'
  | 'relay.health'
  | 'relay.ready'
  | 'relay.websocket'
  | 'relay.clock'
  | 'token'
  | 'token.time'
  | 'room.join'
  | 'room.peers'
  | 'ice.servers'
  | 'stun'
  | 'turn.udp'
  | 'turn.tcp'
  | 'turn.tls'
  | 'nat'
  | 'candidates'
  | 'peer';

/**
 * What one check came to. Nothing in it is a token or a credential, and addresses are in
 * `addresses` only.
 */
export interface Finding {
  check: Check;
  status: 'ok' | 'warn' | 'fail';
  seen: string;
  advice?: string;
  /** A stable name for what is wrong: a code of RendezvousError where there is one. */
  code?: string;
  target?: string;
  addresses?: string[];
}

export type Report = (finding: Finding) => void;

/** How long any one step may take, in milliseconds. */
export const stepMs = 10_000;

/** The signal of one step: fires when its time is over, or when the command is stopped. */
export const within = (stop: AbortSignal, ms = stepMs): AbortSignal => AbortSignal.any([stop, AbortSignal.timeout(ms)]);

export function format({ check, status, seen, advice, target, addresses }: Finding): string {
  const about = target === undefined ? '' : `${target}: `;
  const list = addresses?.length ? ` [${addresses.join(', ')}]` : '';
  const lines = [`${status.padEnd(4)}  ${check.padEnd(15)}  ${about}${seen}${list}`];
  if (advice !== undefined) lines.push(`${' '.repeat(23)}${advice}`);
  return lines.map(printable).join('\n');
}

export function span(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}
