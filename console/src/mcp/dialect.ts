import type { Progress, RequestOptions } from '../rpc/rpc.ts';
import type { TaskState } from './types.ts';

/** The protocol versions that the console speaks, newest first. */
export const versions = ['2026-07-28', '2025-11-25'] as const;
export type Version = (typeof versions)[number];
/** `automatic`: the newest one that the server speaks, too. */
export type VersionChoice = 'automatic' | Version;

export interface CallOptions extends RequestOptions {
  onprogress?: (progress: Progress) => void;
  /** Told how the task goes, if the call becomes one. */
  ontask?: (task: TaskState) => void;
  /** Since 2026-07-28 only the server decides whether a call becomes a task. */
  asTask?: boolean;
  /** The server needs something from the person at the console first, for the n-th time. */
  onround?: (round: number) => void;
}

/** How the client speaks one version of MCP. */
export interface Dialect {
  /** @throws RpcError, or the reason of `options.signal` */
  request(method: string, params?: Record<string, unknown>, options?: CallOptions): Promise<unknown>;
  callTool(params: Record<string, unknown>, options: CallOptions): Promise<unknown>;
  /**
   * Resolves when the server has agreed to report changes of a resource, or to stop that.
   *
   * @param onend the server reports no more, and was not asked to stop
   */
  subscribe(uri: string, on: boolean, onend: () => void): Promise<void>;
  setLogLevel(level: string): Promise<void>;
  rootsChanged(): void;
  /** Resolves with the answer to a request that does nothing. */
  ping(): Promise<void>;
  /** Whether a notification is one that the client asked for. */
  admits(method: string, params: Record<string, unknown>): boolean;
}
