import { createPeer } from './peer.ts';

/** The test page's script. */
globalThis.peer = createPeer();
