export type MappedClaim = 'room' | 'role' | 'sub';

/**
 * Where tokens of an issuer that does not know about rooms say what a room token says. A text is
 * the name of a claim, whatever characters it has; a list is the way into claims that are objects.
 *
 * @example
 * { room: 'https://app.example/room', role: ['resource_access', 'mcp-rendezvous', 'roles'] }
 */
export type ClaimMapping = { readonly [Claim in MappedClaim]?: string | readonly string[] | undefined };

/** What a value has to be to count where there is a list of them. */
const fits: Record<MappedClaim, (value: unknown) => boolean> = {
  room: (value) => typeof value === 'string',
  role: (value) => value === 'server' || value === 'client',
  sub: (value) => typeof value === 'string',
};

/**
 * The claims of a token with those of the mapping in their place. What is mapped counts at the
 * mapped place only. Of a list, such as the roles of a user, the only value that fits counts; a
 * list with several, or none, gives no claim, because nobody could say which one is meant.
 */
export function mapClaims(
  claims: Readonly<Record<string, unknown>>,
  mapping: ClaimMapping = {},
): Record<string, unknown> {
  const mapped = { ...claims };
  for (const [name, place] of Object.entries(mapping) as [MappedClaim, ClaimMapping[MappedClaim]][]) {
    if (place === undefined) continue;
    const value = [place].flat().reduce<unknown>(member, claims);
    const fitting = Array.isArray(value) ? new Set(value.filter((one) => fits[name](one))) : new Set([value]);
    mapped[name] = fitting.size === 1 ? [...fitting][0] : undefined;
  }
  return mapped;
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
