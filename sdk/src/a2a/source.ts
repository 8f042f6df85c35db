import type { Artifact, Message, StreamResponse, Task } from '@a2a-js/sdk';
import { RendezvousError } from 'mcp-rendezvous-protocol';

/** Whatever A2A hands over that may have messages or artifacts in it. */
export type A2ASource = Message | Task | StreamResponse;

/** Options of a client's transport. */
export interface A2AInvitation {
  /**
   * The one string that a client needs: of `createInvitation()` or `listener.invite()`. It is a
   * secret, and A2A servers store messages: make it with `{ once: true }`, and with a `ttl` of
   * minutes.
   */
  invitation: string;
}

/** Members of an A2A message or artifact that carry attributes of an extension. */
export interface A2AAttributes {
  /** By the extension's URI: beside what else is in the message's `metadata`. */
  metadata: Record<string, object>;
  /** The URIs of these extensions: beside what else is in the message's `extensions`. */
  extensions: string[];
}

/** What may have attributes: a message or an artifact. */
interface Carrier {
  /** By the URI of the extension. */
  metadata: (uri: string) => unknown;
  /** The data of its parts with a media type. */
  data: (mediaType: string) => unknown[];
}

/** @throws RendezvousError `bad_signal` for what does not have the form of A2A's SDK */
export function carriersOf(source: A2ASource): Carrier[] {
  try {
    return carrying(source).map(({ parts, metadata }) => {
      const data = parts.flatMap(({ content, mediaType }) =>
        content?.$case === 'data' ? [{ mediaType, value: content.value as unknown }] : [],
      );
      return {
        metadata: (uri) => member(metadata, uri),
        data: (type) => data.filter(({ mediaType }) => mediaType === type).map(({ value }) => value),
      };
    });
  } catch (cause) {
    const message = 'This is not a message, task or event of the A2A SDK. Convert JSON with its fromJSON().';
    throw new RendezvousError('bad_signal', message, { cause });
  }
}

/** A member of an object that somebody else sent, if it is one and has it. */
export const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

function carrying(source: A2ASource): (Message | Artifact)[] {
  if ('parts' in source) return [source];
  if ('artifacts' in source) return inTask(source);
  const { payload } = source;
  switch (payload?.$case) {
    case 'message':
      return [payload.value];
    case 'task':
      return inTask(payload.value);
    case 'statusUpdate':
      return payload.value.status?.message ? [payload.value.status.message] : [];
    case 'artifactUpdate':
      return payload.value.artifact ? [payload.value.artifact] : [];
    case undefined:
      return [];
  }
}

/**
 * The history has the other side's messages, too; whose they are shows in their kind. Servers may
 * leave it out (A2A, `historyLength`).
 */
const inTask = ({ status, artifacts, history }: Partial<Task>): (Message | Artifact)[] => [
  ...(history ?? []),
  ...(status?.message ? [status.message] : []),
  ...(artifacts ?? []),
];
