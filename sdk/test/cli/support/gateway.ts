import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { End } from '../../../src/cli/bridge.ts';
import { Child } from '../../../src/cli/child.ts';
import { Gateway } from '../../../src/cli/http/gateway.ts';
import type { Access } from '../../../src/cli/http/guard.ts';
import { createLog } from '../../../src/cli/log.ts';
import { post } from './http.ts';
import { fixture } from './process.ts';

const session = { 'mcp-protocol-version': '2025-11-25' };
export const hello = { id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25' } };

/** A gateway in front of fixture processes, one for each connection. */
export async function startGateway(t: TestContext, connect?: () => End, access: Partial<Access> = {}) {
  const children: Child[] = [];
  const lines: string[] = [];
  const [command, ...args] = fixture();
  const spawn = () => {
    const child = new Child({ command, args, env: process.env, onoutput: (line) => void lines.push(line) });
    children.push(child);
    return child;
  };
  const gateway = new Gateway({
    host: '127.0.0.1',
    port: 0,
    access: { loopback: true, hosts: [], origins: [], ...access },
    connect: connect ?? spawn,
    log: createLog('normal', (text) => void lines.push(text)),
  });
  const url = await gateway.listen();
  t.after(() => gateway.close(new Error('the test is over')));
  const open = async () => {
    const response = await post(url, hello);
    assert.equal(response.status, 200, await response.clone().text());
    return { ...session, 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' };
  };
  return { url, children, lines, open };
}
