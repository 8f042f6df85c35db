import type { Engine, RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import { createEnd, type End } from './end.ts';

declare global {
  /** In the page only. */
  var end: End;
}

// What a page has, in a project whose types are Node's.
const { RTCPeerConnection, performance } = globalThis as unknown as {
  RTCPeerConnection: RtcPeerConnectionConstructor;
  /** https://developer.mozilla.org/docs/Web/API/Performance/memory: Chromium's alone. */
  performance: { memory: { usedJSHeapSize: number } };
};

const engine: Engine = {
  name: 'chromium',
  restartsIce: true,
  createPeerConnection: (configuration) => new RTCPeerConnection(configuration),
};

/** The page's script. */
globalThis.end = createEnd(engine, () => performance.memory.usedJSHeapSize / 2 ** 20);
