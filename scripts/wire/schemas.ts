import * as z from 'zod/mini';
import { frameFromRelay, frameToRelay, peerClaims } from '../../protocol/src/frames.ts';
import { hello, messageMeta, pathAnswer } from '../../protocol/src/link-data.ts';
import { peerData } from '../../protocol/src/peer-data.ts';
import { roomClaims } from '../../protocol/src/token/claims.ts';

/** What goes over the wire as JSON, by the names of the schemas, with where PROTOCOL.md has it. */
const documents: Record<string, [schema: z.ZodMiniType, title: string, section: string]> = {
  'frame-to-relay': [frameToRelay(), 'A frame of a peer to the relay', '§3'],
  'frame-from-relay': [frameFromRelay(), 'A frame of the relay to a peer', '§4'],
  'peer-claims': [peerClaims(), 'What the relay tells of the token of another peer', '§4'],
  'peer-data': [peerData(), 'The data of a signal between peers', '§6'],
  hello: [hello(), 'The JSON of a HELLO frame', '§7'],
  'message-meta': [messageMeta(), 'The JSON of the META part of a DATA frame', '§7'],
  'path-answer': [pathAnswer(), 'The payload of the second handshake message of the relayed path', '§8'],
  'room-claims': [roomClaims(), 'The claims of a room token', '§2'],
};

/** The schemas that the code itself uses, by the same names. */
export const wireSchemas: Record<string, z.ZodMiniType> = Object.fromEntries(
  Object.entries(documents).map(([name, [schema]]) => [name, schema]),
);

/** Rules of PROTOCOL.md that JSON Schema does not express. */
const beyond =
  'Strings that §2 names contain no control characters and no half of a surrogate pair; lengths there count code points.';

/** Other regular expressions than JavaScript's take letters of every language for `\w`. */
function withAsciiWords(jsonSchema: z.core.JSONSchema.BaseSchema): void {
  if (jsonSchema.pattern) jsonSchema.pattern = jsonSchema.pattern.replaceAll('\\w', 'A-Za-z0-9_');
}

/** The JSON Schemas, by the names of their files in protocol/schemas. */
export const schemaFiles = (): Record<string, object> =>
  Object.fromEntries(
    Object.entries(documents).map(([name, [schema, title, section]]) => [
      `${name}.json`,
      {
        $id: `urn:mcp-rendezvous:protocol:1:${name}`,
        title,
        $comment: `PROTOCOL.md ${section}, version 1. Receivers ignore members that are not named here. ${beyond}`,
        // Of what is received: unknown members are allowed.
        ...z.toJSONSchema(schema, { io: 'input', override: ({ jsonSchema }) => withAsciiWords(jsonSchema) }),
      },
    ]),
  );
