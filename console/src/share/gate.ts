import { signal } from '@preact/signals';
import type { RemotePeer } from 'mcp-rendezvous';
import { Queue } from '../consent/queue.ts';

/** A client wants something that the person at this page has to allow. */
export interface Request {
  peer: RemotePeer;
  what: string;
  allow: () => void;
  deny: () => void;
}

export interface CallRecord {
  n: number;
  at: number;
  subject: string;
  tool: string;
  outcome: 'running' | 'answered' | 'denied' | 'withdrawn' | 'failed';
}

const mostRecords = 200;
/** Requests that may wait for an answer at the same time. */
const mostRequests = 5;

/** Stands between the clients and what this tab has: asks, and keeps a record. */
export class Gate {
  readonly requests = new Queue<Request>();
  readonly records = signal<CallRecord[]>([]);
  #n = 0;

  /** Runs what a tool does, and enters it into the record. Rejects with what it throws. */
  async record<T>(peer: RemotePeer, tool: string, work: () => Promise<T> | T): Promise<T> {
    const n = ++this.#n;
    const entry: CallRecord = { n, at: Date.now(), subject: peer.subject, tool, outcome: 'running' };
    this.records.value = [...this.records.value, entry].slice(-mostRecords);
    const end = (outcome: CallRecord['outcome']): void => {
      this.records.value = this.records.value.map((other) => (other.n === n ? { ...other, outcome } : other));
    };
    try {
      const result = await work();
      end('answered');
      return result;
    } catch (error) {
      end(error instanceof Withdrawn ? 'withdrawn' : error instanceof Denied ? 'denied' : 'failed');
      throw error;
    }
  }

  /**
   * Asks the person, and runs the work within the click that allows it: browsers open pickers and
   * the clipboard then only. Rejects with Denied, with what the work throws, or with Withdrawn when
   * the client cancels.
   */
  async permit<T>(peer: RemotePeer, what: string, cancelled: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.requests.waiting >= mostRequests)
      throw new Denied('Too many requests are already waiting for the user of that tab.');
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const place = this.requests.add(({ take }) => ({
      peer,
      what,
      allow: () => void (take() && work().then(resolve, reject)),
      deny: () => void (take() && reject(new Denied('The user of that tab denied the request.'))),
    }));
    const withdraw = (): void => void (place.withdraw() && reject(new Withdrawn('The request was withdrawn.')));
    cancelled.addEventListener('abort', withdraw);
    if (cancelled.aborted) withdraw();
    return await promise;
  }
}

class Denied extends Error {}
class Withdrawn extends Error {}
