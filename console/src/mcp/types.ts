/** MCP's objects as far as the console uses them. They come from somebody else's server: every member may be missing or wrong. */

export interface Tool {
  name: string;
  title?: string;
  description?: string;
  inputSchema?: unknown;
  outputSchema?: unknown;
  annotations?: Record<string, unknown>;
  execution?: { taskSupport?: unknown };
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

export interface ServerInfo {
  name: string;
  title?: string;
  version?: string;
  protocolVersion: string;
  instructions?: string;
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

export interface Task {
  taskId: string;
  status: 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';
  statusMessage?: string;
  createdAt: string;
  lastUpdatedAt: string;
  ttl: number | null;
  pollInterval: number;
}

export const logLevels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const;
