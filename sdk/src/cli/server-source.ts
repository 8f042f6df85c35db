import type { End } from './bridge.ts';

/** What `expose` shares: where a client's server comes from. */
export interface ServerSource {
  /** For people. */
  readonly name: string;
  /** Rejects with a CliError when nothing can be shared. */
  open(): Promise<void>;
  /** Returns a server for one client. If none is available, its `start()` rejects. */
  take(): End;
  /** Called when the last client has left. */
  refill(): void;
  close(): Promise<void>;
}
