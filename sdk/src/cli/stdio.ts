import type { Readable, Writable } from 'node:stream';
import type { JsonRpcMessage } from '../link/message.ts';
import type { Malformed } from '../link/reading.ts';
import { type End, errorResponse } from './bridge.ts';
import { CliError } from './cli-error.ts';
import { maxMessageBytes, readMessages, writeMessage } from './jsonlines.ts';

/** This process's own standard input and output, with an MCP client at the other end. */
export class Stdio implements End {
  onmessage?: End['onmessage'];
  onmalformed?: End['onmalformed'];
  onend?: End['onend'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  readonly #input: Readable;
  readonly #output: Writable;
  #closed = false;

  constructor(input: Readable, output: Writable) {
    this.#input = input;
    this.#output = output;
  }

  async start(): Promise<void> {
    // EPIPE: the client has closed the pipe, and no message can reach it.
    this.#output.on('error', () => this.#close());
    this.#output.on('close', () => this.#close());
    readMessages(this.#input, {
      message: (message) => (this.#closed ? undefined : this.onmessage?.(message)),
      rubbish: () => this.onerror?.(new Error('Ignored a line on standard input that is not a JSON-RPC message.')),
      malformed: (malformed) => (this.#closed ? undefined : this.onmalformed?.(malformed)),
      tooLong: (malformed) => this.#tooLong(malformed),
      end: () => (this.#closed ? undefined : this.onend?.()),
    });
  }

  async send(message: JsonRpcMessage): Promise<void> {
    try {
      await writeMessage(this.#output, message);
    } catch (error) {
      // Without this message the client would wait for ever. Other errors are the stream's, and end
      // the session there.
      if (error instanceof CliError) this.#close(error);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#input.destroy();
  }

  #tooLong(malformed: Malformed | undefined): void {
    if (this.#closed) return;
    const { error } = errorResponse(undefined, tooLong());
    if (malformed) void this.onmalformed?.({ ...malformed, error });
    else this.onerror?.(tooLong());
  }

  #close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onclose?.(error);
  }
}

const tooLong = () =>
  new CliError('message_too_large', `A message on standard input is longer than ${maxMessageBytes} bytes.`);
