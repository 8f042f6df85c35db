import { browserEngine } from './peer/native.ts';
import { setDefaultEngine } from './transport/rtc.ts';

setDefaultEngine(browserEngine);

export * from './exports.ts';
