import { asText, isObject, type Rpc, RpcError } from '../rpc/rpc.ts';
import { textOf } from '../rpc/trace.ts';
import type { VersionChoice } from './dialect.ts';
import { envelope, modernVersion } from './envelope.ts';

/** How long a server that may be silent before `initialize` has to answer, in milliseconds. */
const probeMs = 10_000;
const unsupportedVersion = -32_022;

/** Client and server have no protocol version in common, or not the one that was asked for. */
export class VersionError extends Error {
  readonly code = 'unsupported_version';

  constructor(message: string) {
    super(message);
    this.name = 'VersionError';
  }
}

/**
 * Asks the server which versions it speaks, by `server/discover`. Resolves with its answer when it
 * is 2026-07-28, and with undefined when it is to be `initialize`.
 *
 * @throws VersionError when it is neither
 */
export async function discover(
  rpc: Rpc,
  choice: VersionChoice,
  cancelled: AbortSignal,
): Promise<Record<string, unknown> | undefined> {
  if (choice !== 'automatic' && choice !== modernVersion) return undefined;
  const signal = choice === modernVersion ? cancelled : AbortSignal.any([cancelled, AbortSignal.timeout(probeMs)]);
  const outcome = await rpc.request('server/discover', { _meta: envelope() }, { signal }).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  cancelled.throwIfAborted();
  return decide(choice, outcome);
}

/** What the outcome of `server/discover` means. */
export function decide(
  choice: VersionChoice,
  { result, error }: { result?: unknown; error?: unknown },
): Record<string, unknown> | undefined {
  const spoken = isObject(result) ? result['supportedVersions'] : supportedBy(error);
  if (!Array.isArray(spoken)) {
    // A server of before, whatever it answers; or one that says nothing before `initialize`.
    if (choice === 'automatic') return undefined;
    const said = error instanceof Error ? error.message : textOf(result).slice(0, 200);
    throw new VersionError(
      `The MCP server does not speak ${modernVersion}: it answered server/discover with “${said}”. ` +
        'For a server on stdio that speaks it, start “mcp-rendezvous expose” with --discover.',
    );
  }
  if (isObject(result) && spoken.includes(modernVersion)) return result;
  if (choice === 'automatic' && spoken.some((one) => typeof one === 'string' && one < modernVersion)) return undefined;
  throw incompatible(spoken, choice);
}

/** The same for the error to `initialize` of a server that speaks later versions only. */
export function initializeError(error: unknown): unknown {
  const spoken = supportedBy(error);
  return Array.isArray(spoken) ? incompatible(spoken, '2025-11-25') : error;
}

const incompatible = (spoken: unknown[], choice: VersionChoice): VersionError => {
  const theirs = spoken.slice(0, 10).map((one) => asText(one, '?').slice(0, 20));
  const ours = choice === 'automatic' ? 'this console speaks 2026-07-28 and 2025-11-25' : `${choice} was chosen here`;
  return new VersionError(`The MCP server speaks ${theirs.join(', ') || 'no protocol version'}; ${ours}.`);
};

function supportedBy(error: unknown): unknown {
  if (!(error instanceof RpcError) || error.code !== unsupportedVersion) return undefined;
  return isObject(error.data) ? (error.data['supported'] ?? []) : [];
}
