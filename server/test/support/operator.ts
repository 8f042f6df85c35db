/** Somebody with an admin token. */
export class Operator {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** An answer's status and JSON body; of an error also its code and message. */
  async ask(method: string, path: string, body?: unknown) {
    const response = await fetch(this.#url + path, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    const parsed: unknown = text === '' ? undefined : JSON.parse(text);
    const { code = '', message = '' } = (parsed as { error?: { code: string; message: string } })?.error ?? {};
    return { status: response.status, body: parsed, code, message };
  }
}
