import { createEnd } from './end.ts';

/** The test page's script. */
globalThis.interop = createEnd();
