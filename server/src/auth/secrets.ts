/** HS256 secrets: the first one signs, each of them verifies. */
export type Secrets = [string, ...string[]];
