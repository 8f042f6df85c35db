import type { TestContext } from 'node:test';
import { testSecret } from '../../../test/support/relay.ts';
import { createApp } from '../../src/http/app.ts';
import { parseConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/log.ts';

export interface RunningApp {
  url: string;
  /** What it has logged, at level debug unless told otherwise. */
  log(): string;
  close(): Promise<void>;
}

/**
 * A relay app in this process, listening on a free port. It is closed after the test, or without
 * one by the caller.
 */
export async function startApp(t: TestContext | undefined, env: Record<string, string> = {}): Promise<RunningApp> {
  const lines: string[] = [];
  const keys = 'RELAY_ISSUERS_FILE' in env ? {} : { RELAY_SECRET: testSecret };
  const config = parseConfig({ ...keys, LOG_LEVEL: 'debug', ...env });
  const app = await createApp({
    config,
    log: createLogger(config.logLevel, { write: (line) => void lines.push(line) }),
  });
  const close = (): Promise<void> => app.close();
  t?.after(close);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  return { url, log: () => lines.join(''), close };
}
