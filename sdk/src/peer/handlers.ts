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

/** Tells a connection's handlers of its states, each when it has changed: engines tell them too often, or too early. */
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

/** Tells of servers that gave no candidate, where the engine says nothing of them. */
export function reportSilent(handlers: ConnectionHandlers, servers: readonly ChosenServer[]): void {
  for (const { urls } of servers) {
    // https://www.w3.org/TR/webrtc/#dom-rtcpeerconnectioniceerrorevent-errorcode: no answer. It may be a refusal as well.
    const errorText = 'The server gave no address: it does not answer, or it refused the credentials.';
    callHandler(handlers.onicecandidateerror, { errorCode: 701, errorText, url: urls });
  }
}
