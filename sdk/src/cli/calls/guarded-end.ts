import type { MessageMeta } from '../../link/link.ts';
import {
  isObject,
  isResponse,
  type JsonRpcError,
  type JsonRpcId,
  type JsonRpcMessage,
  type JsonRpcNotification,
  type JsonRpcRequest,
  type JsonRpcResult,
} from '../../link/message.ts';
import type { RemotePeer } from '../../signaling/relay-connection.ts';
import { cancelledId, type End } from '../bridge.ts';
import type { CliErrorCode } from '../cli-error.ts';
import { pendingId } from '../ids.ts';
import type { AuditLog, CallOutcome } from './audit-log.ts';
import type { ToolFilter } from './tool-filter.ts';

/** What an operator wants of the calls to a server. */
export interface CallRules {
  tools?: ToolFilter | undefined;
  audit?: AuditLog | undefined;
}

/** The server as one client sees it: itself, where there are no rules. */
export function guarded(end: End, rules: CallRules, peer: RemotePeer, room: string): End {
  return rules.tools || rules.audit ? new GuardedEnd(end, rules, peer, room) : end;
}

interface Call {
  readonly tool: string | null;
  readonly time: Date;
  readonly began: number;
}

/** Characters of a tool's name, and of an id, that are kept. */
const maxNameLength = 256;
/** Invalid params: what MCP has for a tool that is unknown. */
const invalidParams = -32_602;
const invalidRequest = -32_600;

/**
 * A server behind the rules of its operator. Tools that are not shared are in no list, and a call
 * of one is answered here; each call becomes a line of the audit. It goes by the form of the
 * messages alone, so that it holds in every version of MCP.
 */
class GuardedEnd implements End {
  onmessage?: End['onmessage'];
  onmalformed?: End['onmalformed'];
  onend?: End['onend'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  readonly #end: End;
  readonly #rules: CallRules;
  readonly #peer: RemotePeer;
  readonly #room: string;
  readonly #calls = new Map<JsonRpcId, Call>();

  constructor(end: End, rules: CallRules, peer: RemotePeer, room: string) {
    this.#end = end;
    this.#rules = rules;
    this.#peer = peer;
    this.#room = room;
  }

  async start(): Promise<void> {
    const end = this.#end;
    end.onmessage = (message, meta) => this.onmessage?.(this.#answered(message), meta);
    end.onmalformed = (malformed) => {
      if (malformed.as !== 'request' && malformed.id !== undefined) this.#settle(malformed.id, 'error');
      return this.onmalformed?.(malformed);
    };
    end.onend = () => this.onend?.();
    end.onerror = (error) => this.onerror?.(error);
    end.onclose = (error) => {
      this.#settleAll();
      this.onclose?.(error);
    };
    await end.start();
  }

  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    const problem = ambiguity(message);
    if (problem !== undefined) return await this.#deny(message, invalidRequest, problem);
    if (!isCall(message)) {
      const cancelled = cancelledId(message);
      if (cancelled !== undefined) this.#settle(cancelled, 'cancelled');
      return await this.#end.send(message, meta);
    }
    const tool = message.params?.['name'];
    const { tools } = this.#rules;
    // A call without an id is none of MCP's, and a server might carry it out.
    if (!('id' in message) || (tools && !tools.allows(tool))) {
      const name = JSON.stringify(nameOf(message)?.slice(0, maxNameLength));
      const why = `The tool ${name} is not available here. Choose one that tools/list names.`;
      return await this.#deny(message, invalidParams, why);
    }
    // Whoever calls twice under one id gets two lines, too.
    this.#settle(message.id, 'unanswered');
    this.#calls.set(message.id, begin(message));
    try {
      await this.#end.send(message, meta);
    } catch (error) {
      this.#settle(message.id, 'unanswered');
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#end.close();
    this.#settleAll();
  }

  async lastCall(): Promise<void> {
    await this.#end.lastCall?.();
  }

  /** Answers what the server does not get to see. What needs no answer is dropped. */
  async #deny(message: JsonRpcMessage, code: number, why: string): Promise<void> {
    const id = 'id' in message ? message.id : undefined;
    if ('method' in message && message.method === 'tools/call') this.#write(begin(message), id ?? null, 'denied');
    if (isResponse(message) || id === undefined) {
      this.onerror?.(new Error(`Dropped a message of the client: ${why}`));
      return;
    }
    const data = { code: 'tool_not_allowed' satisfies CliErrorCode, retryable: false };
    await this.onmessage?.({ jsonrpc: '2.0', id, error: { code, message: why, data } });
  }

  /** A message of the server, without the tools that are not shared. */
  #answered(message: JsonRpcMessage): JsonRpcMessage {
    if (!isResponse(message)) return message;
    if ('error' in message) {
      if (message.id !== undefined) this.#settle(message.id, 'error', message.error.code);
      return message;
    }
    this.#settle(message.id, outcomeOf(message.result));
    return this.#rules.tools ? sharedOnly(message, this.#rules.tools) : message;
  }

  #settle(id: JsonRpcId, outcome: CallOutcome, code?: number): void {
    const asked = pendingId(id, this.#calls);
    const call = asked === undefined ? undefined : this.#calls.get(asked);
    if (asked === undefined || !call) return;
    this.#calls.delete(asked);
    this.#write(call, asked, outcome, code);
  }

  #settleAll(): void {
    for (const id of this.#calls.keys()) this.#settle(id, 'unanswered');
  }

  #write({ tool, time, began }: Call, id: JsonRpcId | null, outcome: CallOutcome, code?: number): void {
    const { id: peer, subject, claims } = this.#peer;
    this.#rules.audit?.write({
      time: time.toISOString(),
      room: this.#room,
      subject,
      jti: claims.jti ?? null,
      peer,
      tool,
      id: typeof id === 'string' ? id.slice(0, maxNameLength) : id,
      outcome,
      ...(code === undefined ? {} : { code }),
      durationMs: Math.round(performance.now() - began),
    });
  }
}

const isCall = (message: JsonRpcMessage): message is JsonRpcRequest | JsonRpcNotification =>
  'method' in message && message.method === 'tools/call';

function nameOf({ params }: JsonRpcRequest | JsonRpcNotification): string | undefined {
  const name = params?.['name'];
  return typeof name === 'string' ? name : undefined;
}

const begin = (message: JsonRpcRequest | JsonRpcNotification): Call => ({
  tool: nameOf(message)?.slice(0, maxNameLength) ?? null,
  time: new Date(),
  began: performance.now(),
});

/**
 * Why a server might read another method or tool in a message than this side does: Go's JSON reads
 * `Name` as `name`, and of two the last one counts.
 */
function ambiguity(message: JsonRpcMessage): string | undefined {
  const members = [
    ...similar(message, ['jsonrpc', 'id', 'method', 'params']),
    ...(isCall(message) && message.params ? similar(message.params, ['name']) : []),
  ];
  return members.length === 0
    ? undefined
    : `The message has a member that differs from "${members[0]}" in upper and lower case only. Remove it.`;
}

const similar = (object: object, names: readonly string[]): string[] =>
  Object.keys(object).flatMap((key) => names.find((name) => key !== name && folded(key) === folded(name)) ?? []);

/** As Unicode folds it: U+017F is an s, too. */
const folded = (text: string): string => text.toUpperCase();

function outcomeOf(result: JsonRpcResult['result']): CallOutcome {
  if (result['isError'] === true) return 'tool_error';
  const type = result['resultType'];
  if (type === 'input_required') return 'input_required';
  return type === 'task' || isObject(result['task']) ? 'task' : 'ok';
}

/**
 * Every answer that lists tools, whichever request it is for: a client could otherwise ask twice
 * under one id, or cancel and be answered all the same.
 */
function sharedOnly(message: JsonRpcResult, filter: ToolFilter): JsonRpcResult | JsonRpcError {
  const { tools } = message.result;
  if (!Array.isArray(tools)) return message;
  const shared = tools.filter((tool) => isObject(tool) && filter.allows(tool['name']));
  return shared.length === tools.length ? message : { ...message, result: { ...message.result, tools: shared } };
}
