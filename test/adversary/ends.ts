import { fileURLToPath } from 'node:url';
import { type Remote, RemoteProcess } from '../support/remote.ts';
import { openRemotePage } from '../support/remote-page.ts';
import type { End } from './end.ts';
import type { Host } from './hosts.ts';
import type { NodeEngine } from './node-end.ts';

/** An end of the session on a host of its own. */
export interface RemoteEnd extends End, Pick<Remote<End>, 'stop' | 'output'> {}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** An end in a Node process. */
export function startNodeEnd(host: Host, engine: NodeEngine): RemoteEnd {
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', file('node-end.ts'), engine];
  return endOf(new RemoteProcess<End>([...host.enter, ...node]));
}

/** An end in a page of a Chromium that runs on that host. */
export const openPageEnd = async (host: Host): Promise<RemoteEnd> =>
  endOf(await openRemotePage<End>({ enter: host.enter, script: file('page.ts'), name: 'end' }));

const endOf = (remote: Remote<End>): RemoteEnd => ({
  serve: (place) => remote.call('serve', place),
  connect: (place) => remote.call('connect', place),
  begin: (plan) => remote.call('begin', plan),
  cut: () => remote.call('cut'),
  report: () => remote.call('report'),
  leave: () => remote.call('leave'),
  get output() {
    return remote.output;
  },
  stop: () => remote.stop(),
});
