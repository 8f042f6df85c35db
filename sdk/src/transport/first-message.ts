import type { Link } from '../link/link.ts';
import { isObject, type JsonRpcMessage } from '../link/message.ts';
import type { Diagnose } from '../util/diagnostic.ts';

/** Reports the first message of a session, sent or received. Later ones pass without it. */
export function reportFirstMessage(link: Link, diagnose: Diagnose): void {
  const { onmessage } = link;
  const send = link.send.bind(link);
  const seen = (side: 'local' | 'remote', message: JsonRpcMessage): void => {
    link.send = send;
    if (onmessage) link.onmessage = onmessage;
    const traceparent = traceparentOf(message);
    diagnose({ type: 'first_message', side, ...(traceparent === undefined ? {} : { traceparent }) });
  };
  link.onmessage = (message, meta) => {
    seen('remote', message);
    onmessage?.(message, meta);
  };
  link.send = (message, meta) => {
    seen('local', message);
    return send(message, meta);
  };
}

/**
 * `traceparent` in `_meta` (MCP, SEP-414), in the form of W3C Trace Context §3.2. An event has
 * nothing else of a message.
 */
function traceparentOf(message: JsonRpcMessage): string | undefined {
  const meta = 'method' in message ? message.params?.['_meta'] : undefined;
  const traceparent = isObject(meta) ? meta['traceparent'] : undefined;
  if (typeof traceparent !== 'string') return undefined;
  return /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}(?=-|$)/.exec(traceparent)?.[0];
}
