export * from './browser.ts';
export { TcpSocketSignaling } from './signaling/tcp.ts';
