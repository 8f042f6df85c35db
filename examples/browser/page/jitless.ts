import { config } from 'zod/v4/core';

// The bundler puts this before anything that makes a schema: zod would try out eval there, which
// the page's policy forbids and the browser's console reports.
config({ jitless: true });
