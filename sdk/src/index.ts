import { weriftEngine } from './peer/werift.ts';
import { setDefaultEngine } from './transport/rtc.ts';

setDefaultEngine(() => weriftEngine);

export * from './exports.ts';
export { weriftEngine } from './peer/werift.ts';
export { TcpSocketSignaling } from './signaling/tcp.ts';
