import { RendezvousError } from '../errors.ts';
import type { Engine } from '../peer/engine.ts';
import { nativeEngine } from '../peer/native.ts';
import type { ConnectOptions } from './types.ts';

let makeDefault: (() => Engine) | undefined;

/** Names the engine of this platform: said once by the package's entry for it, so that a page's bundle has no Node import. */
export function setDefaultEngine(make: () => Engine): void {
  makeDefault = make;
}

/** @throws RendezvousError `bad_option` */
export function engineFor(rtc: ConnectOptions['rtc']): Engine {
  if (rtc === undefined) {
    if (!makeDefault) throw new RendezvousError('bad_option', 'There is no WebRTC engine here: pass the option rtc.');
    return makeDefault();
  }
  return typeof rtc === 'function' ? nativeEngine(rtc) : rtc;
}
