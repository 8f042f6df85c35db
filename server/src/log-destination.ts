import { fstatSync, writeSync } from 'node:fs';

/** Bytes queued for a slow log reader, in addition to the buffer of the pipe. */
const maxQueuedBytes = 65_536;
const retryMs = 50;

let dropped = 0;

/** How many lines of this process's log could not be written. */
export const droppedLogLines = (): number => dropped;

/**
 * Standard output or standard error, for the log. Never throws, blocks or ends the process: what
 * cannot be written is dropped and counted, and each line is tried again, so that logging goes on
 * as soon as it can.
 */
export class LogDestination {
  /** Lines can be written again after some were dropped, the last one because of `reason`. */
  onrecover: ((dropped: number, reason: string) => void) | undefined;
  readonly #fd: 1 | 2;
  /** The first one may be the rest of a line. */
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #begun = false;
  #waiting = false;
  #unreported = 0;
  #reason = '';

  constructor(fd: 1 | 2) {
    this.#fd = fd;
    const file = fstatSync(fd);
    // Opened as a stream a pipe does not block any more: a write that would wait for its reader
    // fails with EAGAIN. Nothing is ever written to the stream, so that it keeps no lines.
    if (file.isFIFO() || file.isSocket()) void (fd === 1 ? process.stdout : process.stderr);
    process.once('exit', () => void this.#flush());
  }

  write(text: string): void {
    const line = Buffer.from(text);
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    this.#work();
  }

  #work(): void {
    const failure = this.#flush();
    if (failure === undefined) return this.#recovered();
    this.#reason = failure;
    if (failure !== 'EAGAIN') {
      // A partly written line is finished later, if its reader still exists.
      this.#drop(this.#begun && failure !== 'EPIPE' ? 1 : 0);
      return;
    }
    while (this.#queuedBytes > maxQueuedBytes) this.#drop(this.#queue.length - 1);
    if (this.#waiting) return;
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      this.#work();
    }, retryMs).unref();
  }

  #flush(): string | undefined {
    for (let line = this.#queue[0]; line; line = this.#queue[0]) {
      try {
        const written = writeSync(this.#fd, line);
        this.#queuedBytes -= written;
        this.#begun = written < line.length;
        if (this.#begun) this.#queue[0] = line.subarray(written);
        else this.#queue.shift();
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? 'unknown';
      }
    }
    return undefined;
  }

  #drop(kept: number): void {
    const lost = this.#queue.splice(kept);
    if (kept === 0) this.#begun = false;
    for (const line of lost) this.#queuedBytes -= line.length;
    this.#unreported += lost.length;
    dropped += lost.length;
  }

  #recovered(): void {
    const lines = this.#unreported;
    this.#unreported = 0;
    if (lines > 0) this.onrecover?.(lines, this.#reason);
  }
}
