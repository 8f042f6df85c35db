/**
 * Embeds the relay: `createApp` makes the Fastify app, `parseConfig` reads its configuration from
 * an environment.
 */
export { type App, createApp } from './http/app.ts';
export { type Config, ConfigError, type Limits, parseConfig, type RedisConfig } from './config/config.ts';
export type { Issuer, Keys, KeysFile, Secrets } from './auth/key-config.ts';
export { createLogger, type Logger } from './log.ts';
