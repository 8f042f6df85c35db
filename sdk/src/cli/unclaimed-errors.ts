import type { JsonRpcError, JsonRpcId } from '../link/message.ts';

/**
 * Errors that do not say which request they answer, because the server could not read its id
 * (JSON-RPC 2.0 §5). Such an error is the answer to one of the requests that were pending when it
 * came. As those are answered, fewer remain, until it is certain to which it belongs.
 */
export class UnclaimedErrors {
  readonly #pending: { has(id: JsonRpcId): boolean; keys(): Iterable<JsonRpcId> };
  readonly #claim: (id: JsonRpcId, error: JsonRpcError) => void;
  #errors: { error: JsonRpcError; suspects: JsonRpcId[] }[] = [];

  /**
   * @param pending the unanswered requests
   * @param claim takes the answer to a pending request, which is not pending any more when this
   * returns
   */
  constructor(
    pending: { has(id: JsonRpcId): boolean; keys(): Iterable<JsonRpcId> },
    claim: (id: JsonRpcId, error: JsonRpcError) => void,
  ) {
    this.#pending = pending;
    this.#claim = claim;
  }

  /** An error without an id. False: no request is pending. */
  add(error: JsonRpcError): boolean {
    const suspects = [...this.#pending.keys()];
    if (suspects.length === 0) return false;
    this.#errors.push({ error, suspects });
    this.check();
    return true;
  }

  /** To be called when a request is not pending any more. */
  check(): void {
    while (this.#errors.length > 0) {
      for (const entry of this.#errors) entry.suspects = entry.suspects.filter((id) => this.#pending.has(id));
      this.#errors = this.#errors.filter(({ suspects }) => suspects.length > 0);
      const all = new Set(this.#errors.flatMap(({ suspects }) => suspects));
      // As many errors as requests: each has one.
      const certain = this.#errors.find(({ suspects }) => suspects.length === 1 || all.size <= this.#errors.length);
      if (!certain) return;
      this.#errors = this.#errors.filter((entry) => entry !== certain);
      this.#claim(certain.suspects[0]!, certain.error);
    }
  }
}
