import { createHmac } from 'node:crypto';

/** Of a key, in bytes, as Standard Webhooks wants it. */
const [leastBytes, mostBytes] = [24, 64];
export const invalidWebhookSecret = `must be whsec_ and the base64 of ${leastBytes} to ${mostBytes} random bytes. Create one with: echo "whsec_$(openssl rand -base64 32)"`;

/**
 * The keys in an environment variable or a file, one per line: several while one is replaced.
 * Undefined if one of them is invalid, or if there is none.
 */
export function readWebhookSecrets(text: string): Buffer[] | undefined {
  const keys = text.split(/\r?\n/).flatMap((line) => (line === '' ? [] : [keyOf(line)]));
  const valid = keys.filter((key) => key !== undefined);
  return valid.length > 0 && valid.length === keys.length ? valid : undefined;
}

function keyOf(line: string): Buffer | undefined {
  const [, text] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
  const key = Buffer.from(text ?? '', 'base64');
  return key.length >= leastBytes && key.length <= mostBytes ? key : undefined;
}

/**
 * The value of `webhook-signature`: one signature for each key, so that a receiver may have either
 * of them while it is replaced (Standard Webhooks, "Signature scheme").
 *
 * @param seconds of this attempt, since the epoch
 */
export function signatureOf(keys: readonly Buffer[], id: string, seconds: number, body: string): string {
  const signed = `${id}.${seconds}.${body}`;
  return keys.map((key) => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`).join(' ');
}
