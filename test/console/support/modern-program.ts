/** The server of both versions as a program over stdio. */
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { createModernServer } from './modern-server.ts';

serveStdio(({ era }) => createModernServer(era));
