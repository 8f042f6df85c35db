import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { clockToleranceSeconds, connectPath, subprotocol } from 'mcp-rendezvous-protocol';
import { openTunnel, request } from 'mcp-rendezvous-protocol/http';
import { proxyFor } from 'mcp-rendezvous-protocol/proxy';
import { redirectOf } from '../../signaling/relay-obstacle.node.ts';
import { askForUpgrade, type UpgradeAnswer } from '../../signaling/upgrade.node.ts';
import { httpBase } from '../relay-time.ts';
import { type Finding, type Report, span, within } from './finding.ts';
import { certificateProblem, daysLeft, toObstacle, openTcp, openTls, resolve } from './open.ts';

export interface RelayView {
  usable: boolean;
  /**
   * How far its clock is ahead of this machine's, in milliseconds; 0 when it does not tell the
   * time.
   */
  skewMs: number;
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
}

/** Certificates are renewed well before that. */
const soonDays = 14;

/**
 * The way to the relay, from its name to its WebSocket.
 *
 * @param address a ws: or wss: URL
 */
export async function checkRelay(
  address: string,
  debug: boolean,
  report: Report,
  stop: AbortSignal,
): Promise<RelayView> {
  const base = httpBase(address);
  const lost = { usable: false, skewMs: 0 };
  if (!(await reached(base, debug, report, stop))) return lost;
  const skewMs = await checkHealth(base, report, stop);
  if (skewMs === undefined) return lost;
  const upgrade = await checkUpgrade(new URL(connectPath.slice(1), base), stop);
  report(upgrade);
  return { usable: upgrade.status === 'ok', skewMs };
}

async function reached(base: URL, debug: boolean, report: Report, stop: AbortSignal): Promise<boolean> {
  const { hostname: host, protocol } = base;
  const port = Number(base.port || (protocol === 'https:' ? 443 : 80));
  let check: Finding['check'] = 'relay.proxy';
  try {
    const proxy = proxyFor(base);
    if (proxy) {
      // The name of the relay is resolved by the proxy: this machine need not know it.
      const tunnel = await openTunnel(base, proxy, within(stop));
      report({ check, status: 'ok', seen: `the proxy ${proxy.name} connects to ${host}, port ${port}` });
      if (protocol === 'http:') tunnel.destroy();
      check = 'relay.tls';
      return protocol === 'http:' || (await checkCertificate(host, port, report, stop, tunnel));
    }
    check = 'relay.dns';
    const found = await resolve(host, within(stop));
    const addresses = found.map(({ address }) => address);
    report({
      check,
      status: 'ok',
      seen: `${host} has ${addresses.length === 1 ? 'an address' : `${addresses.length} addresses`}`,
      ...(debug ? { addresses } : {}),
    });
    check = 'relay.tcp';
    (await openTcp(host, port, within(stop))).destroy();
    report({ check, status: 'ok', seen: `port ${port} accepts connections` });
    if (protocol === 'http:') return true;
    check = 'relay.tls';
    return await checkCertificate(host, port, report, stop);
  } catch (error) {
    const obstacle = toObstacle(error);
    const proxyNeeded = (check === 'relay.dns' || check === 'relay.tcp') && obstacle.code !== 'ECONNREFUSED';
    report({
      check,
      status: 'fail',
      ...obstacle,
      ...(proxyNeeded && { advice: `${obstacle.advice} ${trySettingProxy}` }),
    });
    return false;
  }
}

const trySettingProxy = 'If this network reaches the internet through an HTTP proxy only, set HTTPS_PROXY.';

async function checkCertificate(
  host: string,
  port: number,
  report: Report,
  stop: AbortSignal,
  tunnel?: Duplex,
): Promise<boolean> {
  const check = 'relay.tls';
  const socket = await openTls(host, port, within(stop), tunnel);
  try {
    const problem = certificateProblem(socket);
    if (problem) {
      report({ check, status: 'fail', ...problem });
      return false;
    }
    const days = daysLeft(socket);
    const seen = `the certificate for ${host} is valid for ${days} days`;
    report(
      days > soonDays
        ? { check, status: 'ok', seen }
        : { check, status: 'warn', code: 'certificate_expiring', seen, advice: 'Check that its renewal works.' },
    );
    return true;
  } finally {
    socket.destroy();
  }
}

/** Resolves with how far the relay's clock is ahead, or undefined when it is no relay. */
async function checkHealth(base: URL, report: Report, stop: AbortSignal): Promise<number | undefined> {
  const before = Date.now();
  const health = await get(new URL('healthz', base), within(stop)).catch(() => undefined);
  const after = Date.now();
  const portal = health && portalIn(health, base);
  if (portal) {
    report(portal);
    return undefined;
  }
  if (health?.status !== 200) {
    report({
      check: 'relay.health',
      status: 'fail',
      code: 'no_relay',
      seen: health ? `/healthz answers ${health.status}` : '/healthz does not answer',
      advice:
        'Check that this is the URL of an mcp-rendezvous relay. A proxy in front of it must forward /healthz and /v1/.',
    });
    return undefined;
  }
  report({ check: 'relay.health', status: 'ok', seen: '/healthz answers' });
  const ready = await get(new URL('readyz', base), within(stop)).catch(() => undefined);
  report(
    ready?.status === 200
      ? { check: 'relay.ready', status: 'ok', seen: '/readyz answers' }
      : {
          check: 'relay.ready',
          status: 'warn',
          code: 'not_ready',
          seen: ready ? `/readyz answers ${ready.status}` : '/readyz does not answer',
          advice: 'This instance is draining or has lost Redis. Ask its operator.',
        },
  );
  // The header has whole seconds: half of one is the best guess.
  const date = Date.parse(health.headers.date ?? '');
  if (Number.isNaN(date)) return 0;
  const skewMs = date + 500 - (before + after) / 2;
  report(clock(skewMs, after - before));
  return skewMs;
}

/**
 * What answers in place of the relay: a captive portal redirects everything to its login page, or
 * shows that page. The relay's own answer is JSON.
 */
function portalIn({ status, headers }: Answer, base: URL): Finding | undefined {
  const check = 'relay.health';
  if (status >= 300 && status < 400) {
    const to = redirectOf({ headers }, base);
    if (base.protocol === 'http:' && to.startsWith(`https://${base.hostname}`)) {
      const seen = `/healthz redirects to ${to} (HTTP ${status})`;
      return { check, status: 'fail', code: 'redirected', seen, advice: 'Use wss:// in the URL of the relay.' };
    }
    return captivePortal(`/healthz redirects to ${to} (HTTP ${status})`);
  }
  const isJson = headers['content-type']?.startsWith('application/json') ?? false;
  return status === 200 && !isJson ? captivePortal('/healthz answers with a web page') : undefined;
}

const captivePortal = (seen: string): Finding => ({
  check: 'relay.health',
  status: 'fail',
  code: 'captive_portal',
  seen,
  advice: 'Open a web page to see whether this network wants you to log in, and check the URL of the relay.',
});

function clock(skewMs: number, uncertainMs: number): Finding {
  const check = 'relay.clock';
  const away = `${span(Math.abs(skewMs) / 1000)} ${skewMs > 0 ? 'behind' : 'ahead of'} the relay's`;
  if (Math.abs(skewMs) <= clockToleranceSeconds * 1000 + uncertainMs) {
    return { check, status: 'ok', seen: "this machine's clock and the relay's agree" };
  }
  return {
    check,
    status: 'warn',
    code: 'clock_skew',
    seen: `this machine's clock is ${away}`,
    advice: 'Tokens issued by this clock are rejected as expired or not yet valid. Set it with NTP.',
  };
}

async function checkUpgrade(url: URL, stop: AbortSignal): Promise<Finding> {
  const check = 'relay.websocket';
  const fail = (code: string, seen: string, advice: string): Finding => ({ check, status: 'fail', code, seen, advice });
  const limit = within(stop);
  let answer: UpgradeAnswer;
  try {
    answer = await askForUpgrade(url, limit);
  } catch {
    return limit.aborted
      ? fail('upgrade_swallowed', 'the WebSocket handshake timed out', passUpgrades)
      : fail('upgrade_cut', 'the connection closes during the WebSocket handshake', passUpgrades);
  }
  const { status, isWebSocket, isRelay } = answer;
  if (isWebSocket) {
    return isRelay
      ? { check, status: 'ok', seen: `it supports ${subprotocol}` }
      : fail('subprotocol_lost', `the WebSocket opens without the subprotocol ${subprotocol}`, passProtocol);
  }
  switch (status) {
    case 426:
      return fail('upgrade_swallowed', 'the request reached the relay without its upgrade (HTTP 426)', passUpgrades);
    case 400:
      return fail('subprotocol_lost', 'the request reached the relay without its subprotocol (HTTP 400)', passProtocol);
    case 403:
      return fail(
        'refused',
        'the WebSocket handshake is rejected (HTTP 403)',
        'Check whether a proxy or firewall requires authentication.',
      );
    case 502:
    case 503:
    case 504:
      return fail(
        'relay_down',
        `a proxy cannot reach the relay (HTTP ${status})`,
        'Check that the relay behind it is running.',
      );
    default:
      return fail('upgrade_swallowed', `the WebSocket handshake fails with HTTP ${status}`, passUpgrades);
  }
}

const passUpgrades =
  'A proxy or firewall on the path blocks WebSocket upgrades. Configure it to forward Connection and Upgrade with HTTP/1.1.';
const passProtocol = 'A proxy on the path drops Sec-WebSocket-Protocol. Configure it to forward that header both ways.';

async function get(url: URL, signal: AbortSignal): Promise<Answer> {
  const response = await request(url, { signal });
  response.destroy();
  return { status: response.statusCode ?? 0, headers: response.headers };
}
