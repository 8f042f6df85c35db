import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ConformanceTestId } from 'mcp-rendezvous/testing';
import type { JsonRpcId, JsonRpcMessage } from '../../src/link/message.ts';
import type { Alteration, Place } from './altered.ts';
import {
  type ConformanceFlaw,
  damagedMessages,
  isRequest,
  type Members,
  methodOf,
  paramsOf,
} from './conformance-damages.ts';

const flaw = (caught: ConformanceTestId, name: string, alter: ConformanceFlaw['alter']): ConformanceFlaw => ({
  name,
  caught,
  alter,
});

/** Holds each message that matches until `release` says that it may go. */
const holding = (
  { hit }: Place,
  matches: (message: JsonRpcMessage) => boolean,
  release: (message: JsonRpcMessage) => boolean,
): Alteration => {
  const held: (() => void)[] = [];
  let busy = false;
  return {
    send: (message, _, next) => {
      if (!matches(message)) return next(message);
      if (busy) {
        hit();
        held.push(() => next(message));
        return;
      }
      busy = true;
      next(message);
    },
    receive: (message, next) => {
      if (release(message)) busy = false;
      next(message);
    },
  };
};

const designed: ConformanceFlaw[] = [
  flaw('third-party-replacement', 'replaces a method of the SDK', ({ sdk, hit }) => {
    const prototype = sdk.Client.prototype as Members;
    return {
      start: (next) => {
        hit();
        prototype['aMethodOfTheTransport'] = () => {};
        return next();
      },
      close: (next) => {
        delete prototype['aMethodOfTheTransport'];
        return next();
      },
    };
  }),
  flaw('third-party-replacement', 'asks for a call of its own before start()', ({ hit }) => ({
    start: () => {
      hit();
      return Promise.reject(new Error('Call attach() first.'));
    },
  })),

  flaw('notification-delivery', 'answers notifications', ({ hit }) => ({
    receive: (message, next) => {
      if (methodOf(message) === 'notifications/test.example') hit();
      next(message);
      if (methodOf(message) === 'notifications/test.example') next({ jsonrpc: '2.0', id: 999, result: {} });
    },
  })),
  flaw('notification-delivery', 'sends no notification while a request waits', ({ hit }) => {
    let waiting = 0;
    return {
      send: (message, options, next) => {
        if (isRequest(message)) waiting++;
        if (methodOf(message) === 'notifications/test.example' && waiting > 0) return hit();
        next(message, options);
      },
      receive: (message, next) => {
        if ('result' in message) waiting--;
        next(message);
      },
    };
  }),
  flaw('error-response', 'takes an error response for a failure of its own', ({ hit }) => ({
    receive(this: Alteration, message, next) {
      if ('error' in message) hit();
      else next(message);
    },
  })),

  flaw('transport-failure', 'fails in silence', ({ hit }) => ({ break: () => hit() })),
  flaw('transport-failure', 'makes a JSON-RPC error of a failure', ({ hit }) => {
    let waiting: JsonRpcId | undefined;
    let deliver: ((message: JsonRpcMessage) => void) | undefined;
    return {
      send: (message, options, next) => {
        if ('id' in message && message.id !== undefined) waiting = message.id;
        next(message, options);
      },
      receive: (message, next) => {
        deliver = next;
        next(message);
      },
      break: (next) => {
        hit();
        deliver?.({ jsonrpc: '2.0', id: waiting ?? 0, error: { code: -32_603, message: 'The carrier broke.' } });
        next();
      },
    };
  }),

  flaw('close', 'says nothing of a close to the other end', ({ side, hit }) => {
    let open = true;
    return {
      close: (next) => {
        hit();
        if (side === 'server') return next();
        open = false;
        return Promise.resolve();
      },
      send: (message, options, next) => {
        if (!open) throw new Error('closed');
        next(message, options);
      },
    };
  }),
  flaw('close', 'keeps what it holds', ({ hit }) => ({
    released: () => {
      hit();
      return false;
    },
  })),
  flaw('close', 'takes messages after the end', ({ hit }) => {
    let closed = false;
    return {
      close: async (next) => {
        await next();
        closed = true;
      },
      send: (message, options, next) => {
        if (closed) return hit();
        next(message, options);
      },
    };
  }),

  flaw('no-http-dependency', 'has members of HTTP', ({ hit }) => {
    hit();
    return { members: { requestHeaders: {} } };
  }),
  flaw('no-http-dependency', 'names its session before the handshake', ({ hit }) => {
    hit();
    return { members: { sessionId: 'a session' } };
  }),
  flaw('no-http-dependency', 'passes on the headers of a request', ({ hit }) => ({
    receive: (message, next) => {
      hit();
      next(message, { requestInfo: { headers: {} } });
    },
  })),
  flaw('no-http-dependency', 'carries messages over HTTP', ({ hit }) => overHttp(hit)),
  flaw('no-http-dependency', 'waits for the version that only a header has', ({ hit }) => {
    let told = false;
    return {
      members: { setProtocolVersion: () => (told = true) },
      send: (message, options, next) => {
        if (methodOf(message) === 'tools/call' && !told) return hit();
        next(message, options);
      },
    };
  }),

  flaw('protocol-reuse', 'answers pings itself', ({ hit }) => {
    let deliver: ((message: JsonRpcMessage) => void) | undefined;
    return {
      receive: (message, next) => {
        deliver = next;
        next(message);
      },
      send: (message, options, next) => {
        if (methodOf(message) !== 'ping' || !('id' in message)) return next(message, options);
        hit();
        deliver?.({ jsonrpc: '2.0', id: message.id ?? 0, result: {} });
      },
    };
  }),
  flaw('protocol-reuse', 'makes another operation of tools/call', ({ hit }) => ({
    send: (message, options, next) => {
      if (methodOf(message) !== 'tools/call') return next(message, options);
      hit();
      next({ ...message, method: 'native/call' }, options);
    },
  })),
  flaw('protocol-reuse', 'makes a result of an error', ({ hit }) => ({
    send: (message, options, next) => {
      if (!('error' in message) || message.id === undefined) return next(message, options);
      hit();
      next({ jsonrpc: '2.0', id: message.id, result: {} }, options);
    },
  })),

  flaw('opaque-context', 'puts the context into the message', ({ hit }) => ({
    send: (message, options, next) => {
      if (options?.relatedRequestId === undefined) return next(message, options);
      hit();
      next({ ...message, params: { ...paramsOf(message), related: options.relatedRequestId } });
    },
  })),
  flaw('opaque-context', 'drops what has a context', ({ hit }) => ({
    send: (message, options, next) => (options?.relatedRequestId === undefined ? next(message, options) : hit()),
  })),
  flaw('opaque-context', 'has one context for all', ({ hit }) => {
    let last: unknown;
    return {
      send: (message, options, next) => {
        if (isRequest(message) && 'id' in message) last = message.id;
        next(message, options);
      },
      receive: (message, next) => {
        if (methodOf(message) === 'notifications/progress') hit();
        next(message, { relatedRequestId: last });
      },
    };
  }),

  flaw('concurrent-requests', 'carries one request at a time', (place) =>
    holding(place, isRequest, (message) => 'result' in message),
  ),
  flaw('concurrent-requests', 'keeps one association of a response', ({ hit }) => {
    let last: JsonRpcId | undefined;
    return {
      send: (message, options, next) => {
        if (isRequest(message) && 'id' in message) last = message.id;
        next(message, options);
      },
      receive: (message, next) => {
        if (!('result' in message) || last === undefined) return next(message);
        if (message.id !== last) hit();
        next({ ...message, id: last });
      },
    };
  }),

  flaw('cancellation', 'ends at a cancellation', ({ hit }) => {
    let ended = false;
    return {
      send: (message, options, next) => {
        ended ||= methodOf(message) === 'notifications/cancelled';
        if (!ended) return next(message, options);
        hit();
        if (methodOf(message) === 'notifications/cancelled') next(message, options);
      },
    };
  }),

  flaw('malformed-input', 'ends at what is no message', ({ hit }) => {
    let ended = false;
    return {
      send: (message, options, next) => {
        ended ||= !('method' in Object(message) || 'result' in Object(message) || 'error' in Object(message));
        if (ended) hit();
        else next(message, options);
      },
    };
  }),
  flaw('malformed-input', 'hangs at what is no message', ({ hit }) => ({
    send: (message, options, next) => {
      if (typeof message === 'object') return next(message, options);
      hit();
      return new Promise(() => {});
    },
  })),

  flaw('backpressure', 'keeps the newest of what waits', ({ hit }) => {
    const waiting: JsonRpcMessage[] = [];
    return {
      receive: (message, next) => {
        waiting.push(message);
        if (waiting.length > 16) {
          hit();
          waiting.shift();
        }
        setTimeout(() => {
          const first = waiting.shift();
          if (first) next(first);
        }, 5);
      },
    };
  }),
  flaw('backpressure', 'takes the newest first', ({ hit }) => {
    const waiting: JsonRpcMessage[] = [];
    return {
      receive: (message, next) => {
        waiting.push(message);
        if (waiting.length === 16) hit();
        setTimeout(() => next(waiting.pop()!), 5);
      },
    };
  }),

  flaw('extension-fields', 'keeps the members that it knows', ({ hit }) => ({
    send: (message, options, next) => {
      const known = (members: Members) =>
        Object.fromEntries(Object.entries(members).filter(([name]) => !name.startsWith('x-')));
      if ('x-unknown' in paramsOf(message)) hit();
      if ('method' in message) next({ ...message, params: known(paramsOf(message)) }, options);
      else if ('result' in message) next({ ...message, result: known(message.result) }, options);
      else next(message, options);
    },
  })),
  flaw('extension-fields', 'keeps _meta for itself', ({ hit }) => ({
    send: (message, options, next) => {
      const { _meta, ...rest } = paramsOf(message);
      if (_meta !== undefined) hit();
      next('method' in message ? { ...message, params: rest } : message, options);
    },
  })),

  flaw('protocol-version', 'says a version of its own', ({ hit }) => ({
    send: (message, options, next) => {
      if (methodOf(message) !== 'initialize') return next(message, options);
      hit();
      next({ ...message, params: { ...paramsOf(message), protocolVersion: 'mine' } }, options);
    },
  })),
  flaw('protocol-version', 'hides a version that it does not know', ({ hit }) => ({
    send: (message, options, next) => {
      if ('result' in message && message.result['protocolVersion'] === '1999-01-01') return hit();
      next(message, options);
    },
  })),
  flaw('protocol-version', 'takes no version', ({ hit }) => ({
    members: {
      setProtocolVersion: () => {
        hit();
        throw new Error('No version.');
      },
    },
  })),

  flaw('long-lived-streams', 'ends a stream after a hundred messages', ({ hit }) => {
    let count = 0;
    return {
      send: (message, options, next) =>
        methodOf(message) === 'notifications/progress' && ++count > 100 ? hit() : next(message, options),
    };
  }),
  flaw('long-lived-streams', 'ends a stream at the next answer', ({ hit, side }) => {
    let answered = false;
    return {
      send: (message, options, next) => {
        answered ||= side === 'server' && 'result' in message && !('protocolVersion' in message.result);
        if (methodOf(message) === 'notifications/progress' && answered) return hit();
        next(message, options);
      },
    };
  }),
  {
    ...flaw('long-lived-streams', 'carries no message of a subscription', ({ hit }) => ({
      send: (message, options, next) =>
        methodOf(message) === 'notifications/resources/updated' ? hit() : next(message, options),
    })),
    modernOnly: true,
  },
];

/** Each message goes through a web server of its sender first. */
function overHttp(hit: () => void): Alteration {
  let web: Server;
  return {
    start: async (next) => {
      web = createServer((asked, answer) => asked.resume().on('end', () => answer.end())).unref();
      await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
      await next();
    },
    send: async (message, options, next) => {
      const { port } = web.address() as AddressInfo;
      await new Promise<void>((resolve, reject) => {
        const post = request({ host: '127.0.0.1', port, method: 'POST', agent: false }, (answer) =>
          answer.resume().on('end', resolve),
        );
        post.on('error', reject).end(JSON.stringify(message));
      });
      hit();
      next(message, options);
    },
    close: async (next) => {
      web.close();
      await next();
    },
  };
}

export const conformanceFlaws: readonly ConformanceFlaw[] = [...damagedMessages, ...designed];
