/** The relay for embedding: `createApp` makes the Fastify app, `parseConfig` reads its configuration from an environment. */
export { createApp } from './app.ts';
export { type Config, ConfigError, type Issuer, type Keys, type Limits, parseConfig } from './config.ts';
export { createLogger, type Logger } from './log.ts';
