// The package's `imports` choose the file for Node or for browsers, so that a page's bundle has no
// Node import.
import { defaultEngine } from '#default-engine';
import type { Engine } from '../peer/engine.ts';
import { nativeEngine } from '../peer/native.ts';
import { loadPrimitives } from '../relayed/primitives.ts';
import { allowedPaths } from './allowed-paths.ts';
import type { ConnectOptions } from './types.ts';

/**
 * The engine of the option `rtc`. The default one is loaded here, and not with the package, and so
 * is what the relayed path needs, where it is allowed.
 *
 * @throws RendezvousError `bad_option`
 */
export async function loadEngine(options: ConnectOptions): Promise<Engine> {
  const { rtc } = options;
  if (allowedPaths(options).includes('relayed')) await loadPrimitives();
  if (rtc === undefined) return await defaultEngine();
  return typeof rtc === 'function' ? nativeEngine(rtc) : rtc;
}
