import { send } from './send.tsx';

/** An app that takes the focus, scrolls, grows and asks, as often as it can. */

const fields = [0, 1].map((n) => {
  const field = document.createElement('input');
  field.style.cssText = `display: block; margin-top: ${n * 3000}px`;
  document.body.append(field);
  return field;
});
let count = 0;
setInterval(() => {
  const field = fields[count++ % 2]!;
  field.focus();
  field.scrollIntoView();
  send({ jsonrpc: '2.0', method: 'ui/notifications/size-changed', params: { width: 10, height: count * 10 } });
  if (count % 10 === 0) {
    const uri = `report:${encodeURIComponent(JSON.stringify(count))}`;
    send({ jsonrpc: '2.0', id: count, method: 'resources/read', params: { uri } });
  }
}, 50);
const initialize = { appInfo: { name: 'grasping', version: '1' }, appCapabilities: {}, protocolVersion: '2026-01-26' };
send({ jsonrpc: '2.0', id: 'first', method: 'ui/initialize', params: initialize });
send({ jsonrpc: '2.0', method: 'ui/notifications/initialized' });
send({ jsonrpc: '2.0', id: 'call', method: 'tools/call', params: { name: 'plain', arguments: {} } });
