import type { TLSSocket } from 'node:tls';
import { type IceServer, parseIceUrl, quoteIceUrl } from 'mcp-rendezvous-protocol';
import { type Check, type Finding, type Report, within } from './finding.ts';
import { certificateProblem, toObstacle } from './open.ts';
import { checkNat } from './nat-check.ts';
import { isPrivate } from './private.ts';
import { attribute, type Attribute, longTermKey, method, request, type StunResponse, xorAddress } from './stun.ts';
import { openWire, type Wire, type WireKind } from './turn-socket.ts';
import type { IceView } from './verdict.ts';

interface Target {
  /** How far the relay's clock is ahead, in milliseconds. */
  skewMs: number;
  check: Check;
  url: string;
  wire: WireKind;
  host: string;
  port: number;
  username: string;
  credential: string;
}

type Outcome = Omit<Finding, 'check' | 'target'>;

/**
 * Asks every STUN and TURN server that the relay names. Resolves with the kinds of help that are to
 * be had.
 *
 * @param own they are of `--ice-server`, and not the relay's
 * @param skewMs how far the relay's clock is ahead
 */
export async function checkIceServers(
  servers: readonly IceServer[],
  own: boolean,
  skewMs: number,
  debug: boolean,
  report: Report,
  stop: AbortSignal,
): Promise<IceView> {
  const targets = servers.flatMap((server) => targetsOf(server, skewMs));
  for (const url of servers.flatMap(({ urls }) => urls)) if (!parseIceUrl(url)) report(unreadable(url));
  report(given(targets, own));
  const findings = await Promise.all(
    targets.map(async (target): Promise<Finding> => {
      const outcome = await ask(target, within(stop)).catch((error: unknown): Outcome => {
        return { status: 'fail', ...toObstacle(error) };
      });
      const { addresses, ...shown } = outcome;
      return { check: target.check, target: target.url, ...shown, ...(debug && addresses ? { addresses } : {}) };
    }),
  );
  const works = findings.some(({ check, status }) => check.startsWith('turn') && status !== 'fail');
  for (const finding of findings) {
    // A blocked transport is acceptable while another one works.
    const spared = works && finding.status === 'fail' && finding.code === 'ETIMEDOUT';
    report(spared ? { ...finding, status: 'warn' } : finding);
  }
  // One socket asks all of those that it can reach.
  const reached = targets.filter(({ wire }, index) => wire === 'udp' && answered(findings[index]!));
  const { nat, finding } = await checkNat(reached, stop);
  if (finding) report(finding);
  return { ...viewOf(findings), udp: reached.length > 0, nat };
}

/** A server that refuses is there all the same. */
const answered = ({ status, code }: Finding): boolean =>
  status !== 'fail' || code?.startsWith('turn_') === true || code === 'stun_refused';

function viewOf(findings: readonly Finding[]): Pick<IceView, 'stun' | 'turn'> {
  const stun = findings.filter(({ check }) => check === 'stun');
  const turn = findings.filter(({ check }) => check.startsWith('turn'));
  const works = ({ status }: Finding) => status !== 'fail';
  return {
    stun: stun.length === 0 ? 'none' : stun.some(works) ? 'works' : 'silent',
    turn: turn.length === 0 ? 'none' : turn.some(works) ? 'works' : turn.some(answered) ? 'refused' : 'silent',
  };
}

function given(targets: readonly Target[], own: boolean): Finding {
  const check = 'ice.servers';
  const turn = targets.filter((target) => target.check.startsWith('turn')).length;
  const stun = targets.length - turn;
  const seen = `${own ? '--ice-server names' : 'the relay announces'} ${stun} STUN and ${turn} TURN URLs`;
  if (targets.length === 0) {
    const advice = 'Peers in other networks cannot be reached directly. Set STUN_URLS and TURN_URLS at the relay.';
    return { check, status: 'warn', code: 'no_stun', seen, advice };
  }
  if (turn > 0) return { check, status: 'ok', seen };
  const advice = 'Peers behind strict NATs or firewalls need TURN. Set TURN_URLS and TURN_SECRET at the relay.';
  return { check, status: 'warn', code: 'no_turn', seen, advice };
}

function targetsOf({ urls, username = '', credential = '' }: IceServer, skewMs: number): Target[] {
  return [urls].flat().flatMap((url): Target[] => {
    const parsed = parseIceUrl(url);
    if (!parsed) return [];
    const { scheme, host, port, transport } = parsed;
    const wire = scheme.endsWith('s') ? 'tls' : transport;
    return [
      {
        skewMs,
        check: scheme.startsWith('stun') ? 'stun' : `turn.${wire}`,
        url,
        wire,
        host,
        port,
        username,
        credential,
      },
    ];
  });
}

function unreadable(url: string): Finding {
  return {
    check: 'ice.servers',
    status: 'fail',
    code: 'bad_url',
    target: quoteIceUrl(url),
    seen: 'the relay announces it, but it is not a STUN or TURN URL, so peers cannot connect',
    advice: 'Correct STUN_URLS and TURN_URLS at the relay: stun:host, turn:host:port?transport=udp, turns:host.',
  };
}

async function ask(target: Target, signal: AbortSignal): Promise<Outcome> {
  const wire = await openWire(target.wire, target.host, target.port, signal);
  try {
    const problem = target.wire === 'tls' ? certificateProblem(wire.socket as TLSSocket) : undefined;
    if (problem) return { status: 'fail', ...problem };
    return target.check === 'stun' ? await bind(wire, signal) : await allocate(wire, target, signal);
  } finally {
    wire.close();
  }
}

async function bind(wire: Wire, signal: AbortSignal): Promise<Outcome> {
  const response = await wire.ask(request(method.binding, []), signal);
  const address = xorAddress(response, attribute.mappedAddress);
  if (address !== undefined)
    return { status: 'ok', seen: 'it reports the public address of this machine', addresses: [address] };
  const advice = 'Check that it is a STUN server.';
  return {
    status: 'fail',
    code: 'stun_refused',
    seen: 'it does not report the public address of this machine',
    advice,
  };
}

/**
 * RFC 8656 §7: asks without credentials, learns realm and nonce, asks again, and gives the
 * allocation back.
 */
async function allocate(wire: Wire, target: Target, signal: AbortSignal): Promise<Outcome> {
  const overUdp: Attribute = [attribute.requestedTransport, Buffer.from([17, 0, 0, 0])];
  let response = await wire.ask(request(method.allocate, [overUdp]), signal);
  const open = response.error === undefined;
  let signed: { attributes: Attribute[]; key: Buffer } | undefined;
  // RFC 8489 §9.2.5: a nonce may be stale at once (438), so that a second one is taken.
  for (const expected of [401, 438]) {
    if (response.error !== expected) continue;
    signed = credentials(response, target);
    response = await wire.ask(request(method.allocate, [overUdp, ...signed.attributes], signed.key), signal);
  }
  if (response.error !== undefined) return refusal(response.error, target);
  const lifetime: Attribute = [attribute.lifetime, Buffer.alloc(4)];
  // A courtesy, whose failure says nothing about the server: left alone the allocation ends by
  // itself, after ten minutes.
  await wire
    .ask(request(method.refresh, [lifetime, ...(signed?.attributes ?? [])], signed?.key), signal)
    .catch(() => {});
  if (open) {
    const advice = 'Anyone can use it. With coturn, set use-auth-secret and static-auth-secret.';
    return { status: 'warn', code: 'turn_open', seen: 'it relays without credentials', advice };
  }
  const relayed = xorAddress(response, attribute.relayedAddress) ?? '';
  if (isPrivate(relayed) && !isPrivate(wire.remote)) {
    const advice = 'Peers in other networks cannot reach it. With coturn behind a NAT, set external-ip.';
    return {
      status: 'fail',
      code: 'turn_private',
      seen: 'it relays from a private address',
      advice,
      addresses: [relayed],
    };
  }
  return { status: 'ok', seen: 'it relays for this machine', addresses: [relayed] };
}

function credentials({ attributes }: StunResponse, { username, credential }: Target) {
  const realm = attributes.get(attribute.realm)?.toString() ?? '';
  const nonce = attributes.get(attribute.nonce) ?? Buffer.alloc(0);
  const list: Attribute[] = [
    [attribute.username, username],
    [attribute.realm, realm],
    [attribute.nonce, nonce],
  ];
  return { attributes: list, key: longTermKey(username, realm, credential) };
}

function refusal(error: number, { username, skewMs }: Target): Outcome {
  const fail = (code: string, seen: string, advice: string): Outcome => ({ status: 'fail', code, seen, advice });
  switch (error) {
    case 401:
    case 441: {
      // The user name of the TURN REST API begins with the end of its life.
      const ends = Number(/^\d+/.exec(username)?.[0]);
      const late = ends * 1000 < Date.now() + skewMs ? " By the relay's clock they have expired." : '';
      const advice = `Check that TURN_SECRET at the relay equals its own (coturn: static-auth-secret), and check both clocks.${late}`;
      return fail('turn_unauthorized', `it rejects the credentials (${error})`, advice);
    }
    case 300:
      return fail('turn_elsewhere', 'it redirects to another server (300)', 'Put that server into TURN_URLS.');
    case 403:
      return fail('turn_forbidden', 'it forbids the request (403)', 'Check the access rules in its configuration.');
    case 486:
    case 508:
      return fail('turn_full', `it has no capacity left (${error})`, 'Raise its quota or its port range.');
    default:
      return fail('turn_refused', `it rejects the request (${error})`, 'Check its log.');
  }
}
