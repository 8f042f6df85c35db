/**
 * MCP's objects as far as the console uses them. They come from somebody else's server: every
 * member may be missing or wrong.
 */

export interface Tool {
  name: string;
  title?: string;
  description?: string;
  inputSchema?: unknown;
  outputSchema?: unknown;
  annotations?: Record<string, unknown>;
  execution?: { taskSupport?: unknown };
  _meta?: unknown;
}

export interface Resource {
  uri: string;
  name?: string;
  title?: string;
  description?: string;
  mimeType?: string;
}

export interface ResourceTemplate {
  uriTemplate: string;
  name?: string;
  title?: string;
  description?: string;
}

export interface Prompt {
  name: string;
  title?: string;
  description?: string;
  arguments?: { name: string; description?: string; required?: boolean }[];
}

/** How long a result stays fresh, and whether it is the same for everybody. */
export interface CacheHint {
  ttlMs: number;
  scope: 'public' | 'private';
}

/** A folder that the client has for the server. */
export interface Root {
  uri: string;
  name: string;
}

export interface ServerInfo {
  name: string;
  title?: string;
  version?: string;
  protocolVersion: string;
  /** All versions that the server speaks, as far as it says so. */
  supportedVersions?: string[];
  instructions?: string;
  cache?: CacheHint;
  capabilities: Record<string, unknown>;
}

export interface LogEntry {
  n: number;
  at: number;
  level: string;
  logger: string;
  /** The data; as JSON, if it is no text. */
  text: string;
}

/** What a view shows of a task. */
export interface TaskState {
  status: string;
  statusMessage?: string;
}

/** A task of 2025-11-25. */
export interface Task extends TaskState {
  taskId: string;
  status: 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';
  createdAt: string;
  lastUpdatedAt: string;
  ttl: number | null;
  pollInterval: number;
}

export const logLevels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const;
