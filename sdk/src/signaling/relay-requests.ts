import { type FrameFromRelay, type FrameToRelay, RendezvousError } from 'mcp-rendezvous-protocol';
import { randomBase64Url } from '../util/random.ts';

/** How long the relay has to answer, in milliseconds. */
const answerMs = 10_000;

type Asked = Extract<FrameToRelay, { type: 'invite' | 'revoke' }>;
type Answer = Extract<FrameFromRelay, { type: 'invited' | 'outcome' }>;
/** A frame to be sent, which gets its `id` here. */
type Request = { [Type in Asked['type']]: Omit<Extract<Asked, { type: Type }>, 'id'> }[Asked['type']];

/** What a peer asks of the relay itself, each under an id that no signal has: PROTOCOL.md §3. */
export class RelayRequests {
  readonly #send: (frame: FrameToRelay) => boolean;
  readonly #waiting = new Map<string, (answer: Answer | undefined) => void>();

  /** @param send false: there is no socket */
  constructor(send: (frame: FrameToRelay) => boolean) {
    this.#send = send;
  }

  /**
   * Has the relay make a token for a client of this room. The secret of an invitation is not its
   * business: see `listen`.
   *
   * @param options.name what the relay's log calls it
   * @param options.ttl its life in seconds, at most what this peer's token allows; the default
   * @throws RendezvousError `invite_forbidden`; `unavailable`, which is retryable
   */
  async invite(options: { name?: string; ttl?: number }): Promise<string> {
    const answer = await this.#ask({ type: 'invite', ...options });
    if (answer.type === 'invited') return answer.token;
    throw new RendezvousError('signaling_failed', 'The relay answered an invite with an outcome.');
  }

  /**
   * Takes back an invitation that this peer has made, and ends the sessions of whoever has it.
   *
   * @param jti of its token
   * @throws RendezvousError `invite_forbidden`; `unavailable`, which is retryable
   */
  async revoke(jti: string): Promise<void> {
    await this.#ask({ type: 'revoke', jti });
  }

  async #ask(request: Request): Promise<Answer> {
    const id = `ask-${randomBase64Url(9)}`;
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const timer = setTimeout(() => resolve(undefined), answerMs);
    this.#waiting.set(id, resolve);
    try {
      const answer = this.#send({ ...request, id }) ? await promise : undefined;
      if (answer?.type === 'outcome' && answer.code === 'forbidden') throw forbidden(request);
      if (!answer || (answer.type === 'outcome' && answer.code !== 'done')) throw unavailable();
      return answer;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Takes an answer. False: nobody here has asked. */
  receive(answer: Answer): boolean {
    const resolve = this.#waiting.get(answer.id);
    resolve?.(answer);
    return resolve !== undefined;
  }

  /** The socket is lost, and with it what the relay may have answered. */
  cut(): void {
    for (const resolve of this.#waiting.values()) resolve(undefined);
  }
}

const forbidden = ({ type }: Request) =>
  new RendezvousError(
    'invite_forbidden',
    type === 'invite'
      ? 'The relay does not let this token invite. It needs a token with the claim invite, and a relay that holds the key of its issuer.'
      : 'The relay does not let this token revoke that invitation: it is not one of its own.',
  );

const unavailable = () =>
  new RendezvousError('unavailable', 'The relay did not answer, or makes no more invitations now. Try again later.', {
    retryable: true,
  });
