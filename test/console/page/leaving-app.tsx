import { send } from './send.tsx';

/** An app that does one bad thing, which ends it, and reports that it did. */

interface Deed {
  how: string;
  undeclared: string;
}
declare const deed: Deed;

const { how, undeclared } = deed;
const click = (href: string): void =>
  document.body.appendChild(Object.assign(document.createElement('a'), { href, textContent: 'x' })).click();

const deeds: Record<string, () => void> = {
  location: () => (location.href = `${undeclared}/location`),
  replace: () => location.replace(`${undeclared}/replace`),
  link: () => click(`${undeclared}/link`),
  form: () => {
    const form = document.createElement('form');
    form.action = `${undeclared}/form`;
    document.body.append(form);
    form.submit();
  },
  refresh: () => {
    const { head } = document;
    head.append(Object.assign(document.createElement('meta'), { httpEquiv: 'refresh', content: `0;${undeclared}/r` }));
  },
  relay: () => (location.href = '/sandbox'),
  data: () => (location.href = 'data:text/html,<script>parent.postMessage(1,"*")</script>'),
  blank: () => (location.href = 'about:blank'),
  again: () => location.reload(),
  close: () => top!.close(),
  back: () => history.back(),
  flood: () => {
    for (let n = 0; n < 50_000; n++) send({ jsonrpc: '2.0', id: n, method: 'ping' });
  },
  flood_of_top: () => {
    for (let n = 0; n < 5000; n++) top!.postMessage(`${n} ${'x'.repeat(1000)}`, '*');
  },
  large: () => send({ jsonrpc: '2.0', id: 1, method: 'ui/message', params: { content: 'x'.repeat(2_000_000) } }),
};

const act = (): void => {
  const initialize = { appInfo: { name: 'x', version: '1' }, appCapabilities: {}, protocolVersion: '2026-01-26' };
  send({ jsonrpc: '2.0', id: 'initialize', method: 'ui/initialize', params: initialize });
  try {
    deeds[how]?.();
  } finally {
    send({ jsonrpc: '2.0', id: 'report', method: 'resources/read', params: { uri: `report:${how}` } });
  }
};
addEventListener('load', () => setTimeout(act));
