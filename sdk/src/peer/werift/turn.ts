import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import {
  classes,
  makeIntegrityKey,
  Message,
  methods,
  parseMessage,
  StunOverTurnProtocol,
  TcpTransport,
  TlsTransport,
  TurnProtocol,
  UdpTransport,
} from 'werift';
import { type ChosenServer, parseServer } from '../servers.ts';
import { type Address, turnInternals } from './internals.ts';

/** What an allocation lives for without a refresh, by default (RFC 8656 §3.2). */
const lifetimeSeconds = 600;
/** A permission lasts 300 s, and binding its channel again is what renews it (RFC 8656 §9, §12). */
const channelSeconds = 240;
/** How long the TCP or TLS connection to a server may take. */
const connectMs = 8_000;
/** A request is signed for the first time, and then with fresh nonces while those end. */
const mostTries = 4;
/** The answer to giving an allocation back is not waited for longer. */
const releaseMs = 1_000;

/** RFC 8489 §14.8. */
const unauthenticated = 401;
const staleNonce = 438;

/**
 * Allocates on a TURN server.
 *
 * @param signal the allocation is not needed any more
 * @throws what {@link turnError} reads, or whatever the socket says
 */
export async function allocate(
  { urls, username = '', credential = '' }: ChosenServer,
  signal: AbortSignal,
): Promise<StunOverTurnProtocol> {
  const { scheme, host, port, transport } = parseServer(urls);
  const over = scheme === 'turns' ? 'tls' : transport;
  const [server, socket] = await open(over, [host, port]);
  const client = new TurnClient(server, username, credential, lifetimeSeconds, socket, {
    channelRefreshTime: channelSeconds,
  });
  try {
    await client.allocate(signal);
  } catch (error) {
    await client.close();
    throw error;
  }
  return new StunOverTurnProtocol(client);
}

/** The code of a TURN server's error response (RFC 8656 §19); undefined where there was none. */
export const turnError = (error: unknown): number | undefined => responseOf(error)?.code;

type Socket = ConstructorParameters<typeof TurnProtocol>[4];

async function open(over: string, server: Address): Promise<[Address, Socket]> {
  const [host, port] = server;
  const options = { connectTimeoutMs: connectMs };
  // By its name a server is found where several share a port; Node sends none unless it is told to.
  const name = isIP(host) ? {} : { servername: host };
  if (over === 'tls') return [server, (await TlsTransport.init(server, name, options)) as Socket];
  if (over === 'tcp') return [server, (await TcpTransport.init(server, options)) as Socket];
  // A name is looked up here, or werift would look for an IPv4 address only.
  const address = isIP(host) ? host : (await lookup(host)).address;
  return [[address, port], await UdpTransport.init(isIP(address) === 6 ? 'udp6' : 'udp4')];
}

/**
 * An allocation on a TURN server (RFC 8656). werift
 * - drops the response that a nonce is stale where it is not signed, which it need not be (RFC 8489
 *   §9.2.5), and the one that the credentials are wrong;
 * - repeats a request with the old signature in it, which is signed, too;
 * - keeps the allocation, and the place that it takes in a quota, for ten minutes after its end.
 */
class TurnClient extends TurnProtocol {
  /** Ends the request for an allocation. */
  #stop: AbortSignal | undefined;

  constructor(...args: ConstructorParameters<typeof TurnProtocol>) {
    super(...args);
    const inner = turnInternals(this);
    const handle = inner.handleSTUNMessage.bind(this);
    inner.handleSTUNMessage = (data, address) => {
      const message = parseMessage(data);
      const transaction = message && inner.transactions[message.transactionIdHex];
      if (transaction && message.messageClass === classes.ERROR) {
        const [code] = message.getAttributeValue('ERROR-CODE') as [number];
        if (code === staleNonce || code === unauthenticated) transaction.integrityKey = undefined;
      }
      handle(data, address);
    };
  }

  async allocate(signal: AbortSignal): Promise<void> {
    this.#stop = signal;
    await this.connectionMade();
    this.#stop = undefined;
  }

  override async requestWithRetry(
    request: Message,
    address: Address,
    signal: AbortSignal | undefined = this.#stop,
  ): Promise<[Message, Address]> {
    for (let tries = 1; ; tries++) {
      try {
        const attributes = request.getAttributes().map(([name, value]): [typeof name, unknown] => [name, value]);
        const fresh = new Message(request.messageMethod, request.messageClass, undefined, attributes);
        return await this.request(fresh, address, undefined, signal ? { signal } : {});
      } catch (error) {
        if (tries === mostTries || !this.#takeChallenge(error)) throw error;
      }
    }
  }

  override async close(): Promise<void> {
    turnInternals(this).refreshHandle?.resolve?.();
    // Signed is what may have got an allocation, whether or not the answer came.
    const allocated = this.integrityKey ?? (this.relayedAddress as Address | undefined);
    if (allocated && !this.transport.closed) {
      const release = new Message(methods.REFRESH, classes.REQUEST).setAttribute('LIFETIME', 0);
      // Where nobody answers it ends by itself.
      await this.requestWithRetry(release, this.server, AbortSignal.timeout(releaseMs)).catch(() => {});
    }
    await super.close();
  }

  /** Whether the server asks for a signature (RFC 8489 §9.2.5), with what it is made with. */
  #takeChallenge(error: unknown): boolean {
    const { code, nonce, realm = this.realm } = responseOf(error) ?? {};
    if (!nonce || !realm) return false;
    // Signed and refused all the same: the credentials are wrong.
    if (code !== staleNonce && (code !== unauthenticated || this.integrityKey)) return false;
    this.nonce = nonce;
    this.realm = realm;
    this.integrityKey = makeIntegrityKey(this.username, realm, this.password);
    return true;
  }
}

interface ErrorResponse {
  code: number;
  nonce: Buffer | undefined;
  realm: string | undefined;
}

function responseOf(error: unknown): ErrorResponse | undefined {
  const { response } = error as { response?: unknown };
  if (!(response instanceof Message)) return undefined;
  const value = (name: 'ERROR-CODE' | 'NONCE' | 'REALM'): unknown => response.getAttributeValue(name);
  const [code] = value('ERROR-CODE') as [number];
  return { code, nonce: value('NONCE') as Buffer | undefined, realm: value('REALM') as string | undefined };
}
