import type { ConformanceTestId } from 'mcp-rendezvous/testing';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import type { Alteration, Place } from './altered.ts';

export interface ConformanceFlaw {
  name: string;
  /** The test that is meant to see it. */
  caught: ConformanceTestId;
  alter: (place: Place) => Alteration;
  /** It shows only where the SDK has `subscriptions/listen`. */
  modernOnly?: boolean;
}

export type Members = Record<string, unknown>;
export const paramsOf = (message: JsonRpcMessage): Members => ('method' in message ? (message.params ?? {}) : {});
export const methodOf = (message: JsonRpcMessage): string => ('method' in message ? message.method : '');
export const isRequest = (message: JsonRpcMessage): boolean => 'method' in message && 'id' in message;

/** Kinds of messages that a carrier may spoil, but for those of the handshake. */
const kinds: Record<string, [ConformanceTestId, (message: JsonRpcMessage) => boolean]> = {
  request: ['request-delivery', (message) => isRequest(message) && methodOf(message).startsWith('test.example/')],
  response: ['response-delivery', (message) => 'result' in message && !('protocolVersion' in message.result)],
  notification: ['notification-delivery', (message) => methodOf(message) === 'notifications/test.example'],
  'error response': ['error-response', (message) => 'error' in message],
  cancellation: ['cancellation', (message) => methodOf(message) === 'notifications/cancelled'],
  'related message': ['opaque-context', (message) => methodOf(message) === 'notifications/progress'],
  'message of a stream': ['long-lived-streams', (message) => methodOf(message) === 'notifications/progress'],
};

/** What happens to one message, and to the next ones of its kind where that matters. */
const damages: Record<string, (message: JsonRpcMessage, next: (message: JsonRpcMessage) => void) => void> = {
  drops: () => {},
  doubles: (message, next) => {
    next(message);
    next(message);
  },
  'cuts the members of': (message, next) => {
    if ('error' in message) next({ ...message, error: { ...message.error, message: 'cut' } });
    else if ('result' in message) next({ ...message, result: { cut: true } });
    else next({ ...message, params: { requestId: -1, progressToken: -1, progress: 0 } });
  },
  'renames the id of': (message, next) => {
    if ('id' in message) next({ ...message, id: `${message.id}-renamed` });
  },
};

/** Each damage to each kind of message, to the first or a later one. */
export const damagedMessages: ConformanceFlaw[] = Object.entries(kinds)
  .flatMap(([kind, [caught, matches]]) =>
    Object.entries(damages).flatMap(([verb, damage]) =>
      (kind === 'cancellation' ? [0] : [0, 1]).map((nth): ConformanceFlaw => ({
        name: `${verb} the ${kind} number ${nth}`,
        caught,
        alter: ({ hit }) => {
          let seen = 0;
          return {
            send: (message, options, next) => {
              if (!matches(message) || seen++ !== nth) return next(message, options);
              hit();
              damage(message, (changed) => next(changed, options));
            },
          };
        },
      })),
    ),
  )
  .filter(({ name }) => !/doubles the cancellation|renames the id of the (?:notification|cancellation)/.test(name));
