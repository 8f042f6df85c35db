import { RendezvousAuthError, RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { TransportState } from './types.ts';

/** What was thrown while a session opened, as an error with a code. */
export const connectFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'engine_failed', 'Connecting failed; see cause.');

export const tokenExpired = () =>
  new RendezvousAuthError('token_expired', "The client's room token expired and was not refreshed.");

export const cannotProve = () =>
  new RendezvousError(
    'secret_mismatch',
    'The other peer uses plain mode, which does not support the end-to-end secret. No MCP message was sent.',
  );

export const notOpen = (state: TransportState) =>
  new RendezvousError(
    'closed',
    state === 'closed' ? 'The transport is closed.' : 'The transport is not started. Call start() first.',
  );
