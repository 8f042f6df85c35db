import type { TLSSocket } from 'node:tls';
import { type IceServer, parseIceUrl, quoteIceUrl } from 'mcp-rendezvous-protocol';
import { type Check, type Finding, type Report, within } from './finding.ts';
import { certificateProblem, toObstacle } from './open.ts';
import { isPrivate } from './private.ts';
import { attribute, type Attribute, longTermKey, method, request, type StunResponse, xorAddress } from './stun.ts';
import { openWire, type Wire, type WireKind } from './turn-socket.ts';

/** One address of an ICE server. */
interface Target {
  check: Check;
  url: string;
  wire: WireKind;
  host: string;
  port: number;
  username: string;
  credential: string;
}

type Outcome = Omit<Finding, 'check' | 'target'>;

/** Asks every STUN and TURN server that the relay names. Resolves with the kinds of help that are to be had. */
export async function checkIceServers(
  servers: readonly IceServer[],
  debug: boolean,
  report: Report,
  stop: AbortSignal,
): Promise<{ turn: boolean }> {
  const targets = servers.flatMap(targetsOf);
  for (const url of servers.flatMap(({ urls }) => urls)) if (!parseIceUrl(url)) report(unreadable(url));
  report(given(targets));
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
    // One way that is blocked is what the others are there for.
    const spared = works && finding.status === 'fail' && finding.code === 'ETIMEDOUT';
    report(spared ? { ...finding, status: 'warn' } : finding);
  }
  return { turn: targets.some(({ check }) => check.startsWith('turn')) };
}

function given(targets: readonly Target[]): Finding {
  const check = 'ice.servers';
  const turn = targets.filter((target) => target.check.startsWith('turn')).length;
  const seen = `the relay names ${targets.length - turn} STUN and ${turn} TURN addresses`;
  if (turn > 0) return { check, status: 'ok', seen };
  const advice = 'Peers behind strict NATs or firewalls need one: TURN_URLS and TURN_SECRET at the relay.';
  return { check, status: 'warn', code: 'no_turn', seen, advice };
}

function targetsOf({ urls, username = '', credential = '' }: IceServer): Target[] {
  return [urls].flat().flatMap((url): Target[] => {
    const parsed = parseIceUrl(url);
    if (!parsed) return [];
    const { scheme, host, port, transport } = parsed;
    const wire = scheme.endsWith('s') ? 'tls' : transport;
    return [
      { check: scheme.startsWith('stun') ? 'stun' : `turn.${wire}`, url, wire, host, port, username, credential },
    ];
  });
}

function unreadable(url: string): Finding {
  return {
    check: 'ice.servers',
    status: 'fail',
    code: 'bad_url',
    target: quoteIceUrl(url),
    seen: 'the relay names it, and it is no address of a STUN or TURN server: peers cannot connect',
    advice: 'STUN_URLS and TURN_URLS at the relay: stun:host, turn:host:port?transport=udp, turns:host.',
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
  if (address !== undefined) return { status: 'ok', seen: 'it tells this machine its address', addresses: [address] };
  const advice = 'Is it a STUN server?';
  return { status: 'fail', code: 'stun_refused', seen: 'it does not tell this machine its address', advice };
}

/** RFC 8656 §7: asks without credentials, learns realm and nonce, asks again, and gives the allocation back. */
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
  // A courtesy, whose failure says nothing about the server: left alone the allocation ends by itself,
  // after ten minutes.
  await wire
    .ask(request(method.refresh, [lifetime, ...(signed?.attributes ?? [])], signed?.key), signal)
    .catch(() => {});
  if (open) {
    const advice = 'Anybody may use it: with coturn, set use-auth-secret and static-auth-secret.';
    return { status: 'warn', code: 'turn_open', seen: 'it relays without credentials', advice };
  }
  const relayed = xorAddress(response, attribute.relayedAddress) ?? '';
  if (isPrivate(relayed) && !isPrivate(wire.remote)) {
    const advice = 'Peers elsewhere cannot reach that: with coturn behind a NAT, set external-ip.';
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

function refusal(error: number, { username }: Target): Outcome {
  const fail = (code: string, seen: string, advice: string): Outcome => ({ status: 'fail', code, seen, advice });
  switch (error) {
    case 401:
    case 441: {
      // The user name of the TURN REST API begins with the end of its life.
      const ends = Number(/^\d+/.exec(username)?.[0]);
      const late = ends * 1000 < Date.now() ? " By this machine's clock they have expired." : '';
      const advice = `Is TURN_SECRET at the relay the same as its own (coturn: static-auth-secret), and do both have the right time?${late}`;
      return fail('turn_unauthorized', `it refuses the credentials (${error})`, advice);
    }
    case 300:
      return fail('turn_elsewhere', 'it sends its users to another server (300)', 'Name that one in TURN_URLS.');
    case 403:
      return fail('turn_forbidden', 'it does not allow this (403)', 'See the rules in its configuration.');
    case 486:
    case 508:
      return fail('turn_full', `it has no room left (${error})`, 'Raise its quota or its range of ports.');
    default:
      return fail('turn_refused', `it refuses (${error})`, 'See its log.');
  }
}
