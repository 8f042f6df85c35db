import { createEnd, type End } from './end.ts';

declare global {
  /** In the page only. */
  var networkEnd: End;
}

/** The page's script. */
globalThis.networkEnd = createEnd(undefined, 'Chromium');
