import { subprotocol } from 'mcp-rendezvous-protocol';
import { type Obstacle, proxyObstacle } from './relay-obstacle.ts';
import { askForUpgrade, type UpgradeAnswer } from './upgrade.node.ts';

/** How long the address may take to answer, in milliseconds. */
const answerMs = 3_000;

/** See FindObstacle. Node's own WebSocket reports every failure as 1006, without a reason. */
export async function findObstacle(url: URL, signal: AbortSignal): Promise<Obstacle | undefined> {
  const asked = new URL(url);
  asked.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
  const limit = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
  try {
    return obstacleIn(await askForUpgrade(asked, limit));
  } catch (error) {
    if (signal.aborted) return undefined;
    return limit.aborted ? noAnswer : obstacleOf(error as NodeJS.ErrnoException);
  }
}

const noAnswer: Obstacle = {
  detail: 'timed_out',
  seen: 'it does not answer',
  advice: 'Check for firewalls on the path',
};

function obstacleOf(cause: NodeJS.ErrnoException): Obstacle {
  const { code = cause.name } = cause;
  switch (code) {
    case 'proxy_failed':
      return proxyObstacle(cause);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
    case 'EAI_NODATA':
      return {
        detail: 'name_not_found',
        seen: `its host name cannot be resolved (${code})`,
        advice: 'Check the spelling and the DNS of this network',
        cause,
      };
    case 'ECONNREFUSED':
      return {
        detail: 'connection_refused',
        seen: 'nothing listens on its port (ECONNREFUSED)',
        advice: 'Check the port and that the relay is running',
        cause,
      };
    case 'ETIMEDOUT':
      return { ...noAnswer, cause };
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
    case 'EADDRNOTAVAIL':
      return {
        detail: 'no_route',
        seen: `there is no route to it (${code})`,
        advice: 'Check that this machine is online',
        cause,
      };
    case 'ECONNRESET':
    case 'EPIPE':
      return {
        detail: 'connection_cut',
        seen: `the connection is closed during the WebSocket handshake (${code})`,
        advice: 'Check whether a proxy or firewall on the path blocks WebSockets',
        cause,
      };
  }
  if (isCertificateProblem(code)) return rejected(code, cause);
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return {
      detail: 'no_tls',
      seen: `its port does not speak TLS (${code})`,
      advice: 'Check the port, or use ws:// for a relay in a trusted network without TLS',
      cause,
    };
  }
  if (code.startsWith('HPE_')) {
    return {
      detail: 'not_a_relay',
      seen: `what listens on its port does not speak HTTP (${code})`,
      advice: 'Check the host and the port',
      cause,
    };
  }
  return { seen: `the connection fails (${code})`, advice: 'Check the URL and that the relay is running', cause };
}

/** The errors of OpenSSL's verification (`X509_V_ERR_…`) and of Node's check of the name. */
const isCertificateProblem = (code: string): boolean =>
  /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|ERR_TLS_CERT_)/.test(
    code,
  );

function rejected(code: string, cause: unknown): Obstacle {
  const problem = { detail: 'certificate_rejected', seen: `its TLS certificate is rejected (${code})`, cause } as const;
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { ...problem, advice: 'Use a host name that is in the certificate' };
    case 'CERT_HAS_EXPIRED':
      return { ...problem, advice: 'Renew it, check the clock of this machine' };
    case 'CERT_NOT_YET_VALID':
      return { ...problem, advice: 'Check the clock of this machine' };
    default:
      return {
        ...problem,
        advice:
          'Trust an authority of your own with --ca-file or NODE_EXTRA_CA_CERTS, check whether a firewall inspects TLS',
      };
  }
}

/** The origin of a redirect, without what else may be in its URL. */
export const redirectOf = ({ headers }: Pick<UpgradeAnswer, 'headers'>, base: URL | string): string =>
  URL.parse(headers.location ?? '', base)?.origin ?? 'another address';

function obstacleIn(answer: UpgradeAnswer): Obstacle | undefined {
  const { status, isWebSocket, isRelay } = answer;
  if (isRelay) return undefined;
  if (isWebSocket) {
    return {
      detail: 'not_a_relay',
      seen: `the WebSocket there does not have the subprotocol ${subprotocol}`,
      advice: 'Check the URL, and that no proxy on the path drops Sec-WebSocket-Protocol',
    };
  }
  if (status >= 200 && status < 300) {
    return {
      detail: 'not_a_relay',
      seen: `a web server answers with a page (HTTP ${status}) and not with a WebSocket`,
      advice: 'Check the URL, check for a captive portal',
    };
  }
  if (status >= 300 && status < 400) {
    return {
      detail: 'redirected',
      seen: `it redirects to ${redirectOf(answer, 'http://invalid')} (HTTP ${status})`,
      advice: 'Open a web page to see whether a captive portal wants you to log in, check the URL',
    };
  }
  return { detail: 'http_status', seen: `it answers HTTP ${status} instead of a WebSocket`, advice: adviceOn(status) };
}

function adviceOn(status: number): string {
  switch (status) {
    case 401:
    case 403:
    case 407:
      return 'Check whether a proxy or firewall requires authentication';
    case 404:
      return 'Check the path in the URL';
    case 400:
    case 426:
      return 'Configure the proxy in front of the relay to forward Connection, Upgrade and Sec-WebSocket-Protocol';
    case 502:
    case 503:
    case 504:
      return 'Check that the relay behind this proxy is running';
    default:
      return 'Check the URL and the proxies on the path';
  }
}
