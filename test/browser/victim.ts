import {
  type RendezvousError,
  type RtcPeerConnection,
  type RtcPeerConnectionConstructor,
  WebRTCClientTransport,
} from 'mcp-rendezvous';

/** A page's client of a relay that may lie. Arguments and results are plain data. */
export interface Victim {
  /** Resolves when it is connected; rejects with the error's code. */
  connect(options: { relay: string; token: string; secret?: string }): Promise<void>;
  /** Closes the newest peer connection behind the SDK's back. */
  breakConnection(): void;
  say(word: string): void;
  state(): string;
  close(): Promise<void>;
}

declare global {
  /** In the test page only. */
  var victim: Victim;
}

const page = globalThis as unknown as { RTCPeerConnection: RtcPeerConnectionConstructor };
const { RTCPeerConnection } = page;
let newest: RtcPeerConnection | undefined;
page.RTCPeerConnection = new Proxy(RTCPeerConnection, {
  construct: (target, args: ConstructorParameters<RtcPeerConnectionConstructor>) => (newest = new target(...args)),
});

let transport: WebRTCClientTransport | undefined;

globalThis.victim = {
  async connect(options) {
    transport = new WebRTCClientTransport(options);
    await transport.start().catch((error: RendezvousError) => {
      throw new Error(error.code);
    });
  },
  breakConnection: () => void newest?.close(),
  say(word) {
    // Lost with a session that does not come back.
    transport?.send({ jsonrpc: '2.0', method: 'notifications/hello', params: { word } }).catch(() => {});
  },
  state: () => transport?.state ?? 'new',
  close: async () => await transport?.close(),
};
