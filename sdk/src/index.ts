export * from './browser.ts';
export { nodeDatachannelEngine } from './peer/node-datachannel.ts';
export { weriftEngine } from './peer/werift.ts';
export { wrtcEngine } from './peer/wrtc.ts';
export { TcpSocketSignaling } from './signaling/tcp.ts';
