import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { defaultEngine } from '../../src/peer/default.node.ts';

const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** The default in a process of its own, where `require('node-datachannel')` does what is said. */
async function defaultWhere(instead: string): Promise<unknown> {
  const source = `
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve: (name, context, next) =>
        name === 'node-datachannel' ? { url: 'virtual:node-datachannel', format: 'commonjs', shortCircuit: true } : next(name, context),
      load: (url, context, next) =>
        url === 'virtual:node-datachannel'
          ? { format: 'commonjs', source: ${JSON.stringify(instead)}, shortCircuit: true }
          : next(url, context),
    });
    const { defaultEngine } = await import(${here('../../src/peer/default.node.ts')});
    const { nodeDatachannelEngine } = await import(${here('../../src/peer/node-datachannel.ts')});
    let refused;
    try {
      nodeDatachannelEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
    } catch (error) {
      refused = [error.code, error.cause?.message];
    }
    process.stdout.write(JSON.stringify({ name: (await defaultEngine()).name, refused }));
  `;
  const args = ['--conditions=mcp-rendezvous-source', '--input-type=module', '--eval', source];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000, killSignal: 'SIGKILL' });
  return JSON.parse(stdout);
}

suite('the default engine in Node', () => {
  test('is node-datachannel where it is installed', async () => {
    assert.equal((await defaultEngine()).name, 'node-datachannel');
  });

  test('is werift where it is not installed, or its binary is broken', async () => {
    for (const instead of [
      "throw Object.assign(new Error('Cannot find it'), { code: 'MODULE_NOT_FOUND' })",
      "throw new Error('invalid ELF header')",
    ]) {
      const message = /'([A-Z][^']+|invalid[^']+)'/.exec(instead)?.[1];
      assert.deepEqual(await defaultWhere(instead), { name: 'werift', refused: ['bad_option', message] });
    }
    assert.deepEqual(await defaultWhere('module.exports = {}'), {
      name: 'werift',
      refused: ['bad_option', 'The package node-datachannel lacks an expected export. Check its version.'],
    });
  });
});
