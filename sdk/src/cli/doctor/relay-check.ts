import { createHash, randomBytes } from 'node:crypto';
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connectPath, subprotocol } from 'mcp-rendezvous-protocol';
import { connectUrl } from '../../signaling/relay-socket.ts';
import { type Finding, type Report, span, within } from './finding.ts';
import { certificateProblem, daysLeft, toObstacle, openTcp, openTls, resolve } from './open.ts';

export interface RelayView {
  /** A peer can connect to it. */
  usable: boolean;
  /** How far its clock is ahead of this machine's, in milliseconds; 0 when it does not tell the time. */
  skewMs: number;
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
}

/** The skew that a relay allows (PROTOCOL.md §2), in milliseconds. */
const allowedSkewMs = 5_000;
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
  const socket = connectUrl(address);
  const base = new URL(socket);
  base.protocol = socket.protocol.replace('ws', 'http');
  base.pathname = socket.pathname.slice(0, -connectPath.length);
  const lost = { usable: false, skewMs: 0 };
  if (!(await reached(base, debug, report, stop))) return lost;
  const skewMs = await checkHealth(base, report, stop);
  if (skewMs === undefined) return lost;
  const upgrade = await checkUpgrade(new URL(base.href.replace(/\/?$/, connectPath)), stop);
  report(upgrade);
  return { usable: upgrade.status === 'ok', skewMs };
}

async function reached(base: URL, debug: boolean, report: Report, stop: AbortSignal): Promise<boolean> {
  const { hostname: host, protocol } = base;
  const port = Number(base.port || (protocol === 'https:' ? 443 : 80));
  let check: Finding['check'] = 'relay.dns';
  try {
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
    report({ check, status: 'ok', seen: `port ${port} takes connections` });
    if (protocol === 'http:') return true;
    check = 'relay.tls';
    return await checkCertificate(host, port, report, stop);
  } catch (error) {
    report({ check, status: 'fail', ...toObstacle(error) });
    return false;
  }
}

async function checkCertificate(host: string, port: number, report: Report, stop: AbortSignal): Promise<boolean> {
  const check = 'relay.tls';
  const socket = await openTls(host, port, within(stop));
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
        : { check, status: 'warn', code: 'certificate_expiring', seen, advice: 'Is its renewal at work?' },
    );
    return true;
  } finally {
    socket.destroy();
  }
}

/** Resolves with how far the relay's clock is ahead, or undefined when it is no relay. */
async function checkHealth(base: URL, report: Report, stop: AbortSignal): Promise<number | undefined> {
  const path = base.href.replace(/\/$/, '');
  const before = Date.now();
  // No answer is a finding, too.
  const health = await get(new URL(`${path}/healthz`), within(stop)).catch(() => undefined);
  const after = Date.now();
  if (health?.status !== 200) {
    report({
      check: 'relay.health',
      status: 'fail',
      code: 'no_relay',
      seen: health ? `/healthz answers with ${health.status}` : '/healthz does not answer',
      advice: 'Is this the address of an mcp-rendezvous relay? A proxy in front of it must pass on /healthz and /v1/.',
    });
    return undefined;
  }
  report({ check: 'relay.health', status: 'ok', seen: '/healthz answers' });
  // The same.
  const ready = await get(new URL(`${path}/readyz`), within(stop)).catch(() => undefined);
  report(
    ready?.status === 200
      ? { check: 'relay.ready', status: 'ok', seen: '/readyz answers' }
      : {
          check: 'relay.ready',
          status: 'warn',
          code: 'not_ready',
          seen: ready ? `/readyz answers with ${ready.status}` : '/readyz does not answer',
          advice: 'This instance is about to stop, or has lost Redis: ask its operator.',
        },
  );
  // The header has whole seconds: half of one is the best guess.
  const date = Date.parse(health.headers.date ?? '');
  if (Number.isNaN(date)) return 0;
  const skewMs = date + 500 - (before + after) / 2;
  report(clock(skewMs, after - before));
  return skewMs;
}

function clock(skewMs: number, uncertainMs: number): Finding {
  const check = 'relay.clock';
  const away = `${span(Math.abs(skewMs) / 1000)} ${skewMs > 0 ? 'behind' : 'ahead of'} the relay's`;
  if (Math.abs(skewMs) <= allowedSkewMs + uncertainMs) {
    return { check, status: 'ok', seen: "this machine's clock and the relay's agree" };
  }
  return {
    check,
    status: 'warn',
    code: 'clock_skew',
    seen: `this machine's clock is ${away}`,
    advice: 'Tokens that are made by a clock like this are refused as expired or not yet valid: set it (NTP).',
  };
}

async function checkUpgrade(url: URL, stop: AbortSignal): Promise<Finding> {
  const check = 'relay.websocket';
  const fail = (code: string, seen: string, advice: string): Finding => ({ check, status: 'fail', code, seen, advice });
  const key = randomBytes(16).toString('base64');
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Protocol': subprotocol,
  };
  const limit = within(stop);
  let answer: Answer;
  try {
    answer = await get(url, limit, headers);
  } catch {
    return limit.aborted
      ? fail('upgrade_swallowed', 'the WebSocket handshake gets no answer', passUpgrades)
      : fail('upgrade_cut', 'the connection is cut during the WebSocket handshake', passUpgrades);
  }
  const { status } = answer;
  // RFC 6455 §4.2.2.
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  if (status === 101 && answer.headers['sec-websocket-accept'] === accept) {
    return answer.headers['sec-websocket-protocol'] === subprotocol
      ? { check, status: 'ok', seen: `it speaks ${subprotocol}` }
      : fail('subprotocol_lost', `the WebSocket opens without the subprotocol ${subprotocol}`, passProtocol);
  }
  switch (status) {
    case 426:
      return fail('upgrade_swallowed', 'the relay was asked without an upgrade (HTTP 426)', passUpgrades);
    case 400:
      return fail('subprotocol_lost', 'the relay was asked without its subprotocol (HTTP 400)', passProtocol);
    case 403:
      return fail('refused', 'the WebSocket handshake is refused (HTTP 403)', 'Does a proxy or firewall ask for more?');
    case 502:
    case 503:
    case 504:
      return fail('relay_down', `a proxy cannot reach the relay (HTTP ${status})`, 'Is the relay running behind it?');
    default:
      return fail('upgrade_swallowed', `the WebSocket handshake is answered with HTTP ${status}`, passUpgrades);
  }
}

const passUpgrades =
  'A proxy or firewall in between does not pass on WebSocket upgrades. It has to forward Connection and Upgrade with HTTP/1.1.';
const passProtocol = 'A proxy in between drops Sec-WebSocket-Protocol: it has to forward that header, both ways.';

/** One request on a connection of its own; resolves with the head of the answer, of an upgrade too. */
function get(url: URL, signal: AbortSignal, headers: Record<string, string> = {}): Promise<Answer> {
  const options: RequestOptions = { agent: false, headers, signal };
  return new Promise((done, reject) => {
    const take = (response: IncomingMessage) => {
      done({ status: response.statusCode ?? 0, headers: response.headers });
      response.destroy();
    };
    const asked = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, take);
    asked.on('upgrade', (response, socket) => {
      socket.destroy();
      take(response);
    });
    asked.on('error', reject);
    asked.end();
  });
}
