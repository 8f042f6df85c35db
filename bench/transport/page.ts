import { type RtcPeerConnectionConstructor, WebRTCClientTransport } from 'mcp-rendezvous';
import { WireCaller } from './caller.ts';
import { RawWire, type Signal } from './raw.ts';

/** What a page of the benchmark can be asked: to make a caller, and to call. */
export interface PageBench {
  raw(number: number): Promise<void>;
  signal(number: number, signal: Signal): void;
  rendezvous(number: number, options: { relay: string; token: string }): Promise<void>;
  callers: Map<number, WireCaller>;
}

/** What its other side listens to, where the signals of a raw channel go. */
interface InPage {
  RTCPeerConnection: RtcPeerConnectionConstructor;
  tell(number: number, signal: Signal): void;
  bench: PageBench;
}

// In a page the global object has these members, which Node's types do not know.
const page = globalThis as unknown as InPage;
const wires = new Map<number, RawWire>();
const callers = new Map<number, WireCaller>();

page.bench = {
  callers,
  async raw(number) {
    const wire = new RawWire(page.RTCPeerConnection, true);
    wires.set(number, wire);
    wire.onsignal = (signal) => page.tell(number, signal);
    callers.set(number, await WireCaller.connect(wire));
  },
  signal(number, signal) {
    void wires.get(number)?.signal(signal);
  },
  async rendezvous(number, options) {
    callers.set(number, await WireCaller.connect(new WebRTCClientTransport({ ...options, iceServers: [] })));
  },
};
