export * from './browser.ts';
export { weriftEngine } from './peer/werift.ts';
export { TcpSocketSignaling } from './signaling/tcp.ts';
