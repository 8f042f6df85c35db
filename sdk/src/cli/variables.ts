/**
 * Every variable that the command line reads under a fixed name. Read `env` with these, never with
 * a name of its own, so that no program which is started here can see one.
 */
export const variables = {
  relay: 'MCP_RENDEZVOUS_RELAY',
  token: 'MCP_RENDEZVOUS_TOKEN',
  secret: 'MCP_RENDEZVOUS_SECRET',
  invitation: 'MCP_RENDEZVOUS_INVITATION',
  turnUsername: 'MCP_RENDEZVOUS_TURN_USERNAME',
  turnPassword: 'MCP_RENDEZVOUS_TURN_PASSWORD',
  httpToken: 'MCP_RENDEZVOUS_HTTP_TOKEN',
  key: 'RELAY_SECRET',
  admin: 'ADMIN_TOKEN',
} as const;

/** Variables with this prefix belong to this program, in any version. */
const ownPrefix = 'MCP_RENDEZVOUS_';
/**
 * Secrets of the relay, which may run on the same machine. `REDIS_URL` is not here: MCP servers
 * have one of their own.
 */
const relaySecrets: readonly string[] = [
  'RELAY_SECRET',
  'TURN_SECRET',
  'TURN_CREDENTIALS_TOKEN',
  'WEBHOOK_SECRET',
  'ADMIN_TOKEN',
];
const hidden = new Set([...Object.values<string>(variables), ...relaySecrets]);

/**
 * What a program that is started here sees of the environment: none of this program's variables, no
 * secret of a relay, and none of those that the user `named` for this program's use. Windows does
 * not tell upper case from lower case in names.
 */
export function environmentOfChild(env: NodeJS.ProcessEnv, named: Iterable<string> = []): NodeJS.ProcessEnv {
  const lent = new Set([...named].map((name) => name.toUpperCase()));
  const visible = ([name]: [string, unknown]): boolean => {
    const upper = name.toUpperCase();
    return !upper.startsWith(ownPrefix) && !hidden.has(upper) && !lent.has(upper);
  };
  return Object.fromEntries(Object.entries(env).filter(visible));
}
