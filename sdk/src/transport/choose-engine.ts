// The package's `imports` choose the file for Node or for browsers, so that a page's bundle has no Node import.
import { defaultEngine } from '#default-engine';
import type { Engine } from '../peer/engine.ts';
import { nativeEngine } from '../peer/native.ts';
import type { ConnectOptions } from './types.ts';

/** @throws RendezvousError `bad_option` */
export function engineFor(rtc: ConnectOptions['rtc']): Engine {
  if (rtc === undefined) return defaultEngine();
  return typeof rtc === 'function' ? nativeEngine(rtc) : rtc;
}
