import { testSecret } from '../../../test/support/relay.ts';
import { createApp } from '../../src/app.ts';
import { parseConfig } from '../../src/config.ts';
import { createLogger } from '../../src/log.ts';

/** A test, or a suite's `{ after }` from node:test. */
interface Scope {
  after(fn: () => Promise<void>): void;
}

/** A relay app in this process, listening on a free port; closed after the test. */
export async function startApp(
  scope: Scope,
  env: Record<string, string> = {},
): Promise<{ url: string; log: () => string }> {
  const lines: string[] = [];
  const keys = 'RELAY_ISSUERS_FILE' in env ? {} : { RELAY_SECRET: testSecret };
  const config = parseConfig({ ...keys, LOG_LEVEL: 'debug', ...env });
  const app = await createApp({
    config,
    log: createLogger(config.logLevel, { write: (line) => void lines.push(line) }),
  });
  scope.after(() => app.close());
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return { url, log: () => lines.join('') };
}
