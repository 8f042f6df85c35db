import { callHandler } from '../util/call-handler.ts';
import type { RtcPeerConnection } from './engine.ts';
import type { ChosenServer } from './servers.ts';

/** The handlers of an adapter's connection, which are the application's to set. */
export class ConnectionHandlers {
  onicecandidate: RtcPeerConnection['onicecandidate'] = null;
  onicecandidateerror: NonNullable<RtcPeerConnection['onicecandidateerror']> | null = null;
  onconnectionstatechange: RtcPeerConnection['onconnectionstatechange'] = null;
  oniceconnectionstatechange: RtcPeerConnection['oniceconnectionstatechange'] = null;
  onicegatheringstatechange: RtcPeerConnection['onicegatheringstatechange'] = null;
  ondatachannel: RtcPeerConnection['ondatachannel'] = null;
}

/**
 * Tells a connection's handlers of its states, each when it has changed: engines tell them too
 * often, or too early.
 */
export class ConnectionStates {
  readonly #connection: RtcPeerConnection;
  #told = { connectionState: 'new', iceConnectionState: 'new' };

  constructor(connection: RtcPeerConnection) {
    this.#connection = connection;
  }

  /** As they were told last. */
  get told(): { readonly connectionState: string; readonly iceConnectionState: string } {
    return this.#told;
  }

  tell(): void {
    const connection = this.#connection;
    const { connectionState, iceConnectionState } = connection;
    const told = this.#told;
    this.#told = { connectionState, iceConnectionState };
    if (iceConnectionState !== told.iceConnectionState) callHandler(connection.oniceconnectionstatechange, undefined);
    if (connectionState !== told.connectionState) callHandler(connection.onconnectionstatechange, undefined);
  }
}

/** A STUN or TURN server that gave no candidate. */
export interface ServerFailure {
  server: ChosenServer;
  /** What it answered, if anything. */
  errorCode?: number | undefined;
}

/**
 * https://www.w3.org/TR/webrtc/#dom-rtcpeerconnectioniceerrorevent-errorcode: no answer that the
 * engine told of. It may be a rejection as well.
 */
const noAnswer = 701;

/** Tells of servers that gave no candidate, where the engine says nothing of them. */
export function reportFailures(handlers: ConnectionHandlers, failures: readonly ServerFailure[]): void {
  for (const { server, errorCode = noAnswer } of failures) {
    const errorText =
      errorCode === noAnswer
        ? 'The server is unreachable, or it rejected the credentials.'
        : 'The server rejected the request for an address.';
    callHandler(handlers.onicecandidateerror, { errorCode, errorText, url: server.urls });
  }
}
