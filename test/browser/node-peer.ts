import type { AddressInfo } from 'node:net';
import { servePage } from '../support/page.ts';
import { serveParent } from '../support/remote.ts';
import { createPeer, type Peer } from './peer.ts';

/** The same as the test page's script, for a process, which can serve a page, too. */
export interface NodePeer extends Peer {
  /** Resolves with the address of a page with that script. */
  host(script: string, address: string): Promise<string>;
}

serveParent<NodePeer>({
  ...createPeer(),
  async host(script, address) {
    const pages = await servePage(script, address);
    return `http://${address}:${(pages.address() as AddressInfo).port}/`;
  },
});
