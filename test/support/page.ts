import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

/**
 * Serves a page with that script, under a policy without `unsafe-eval`, as careful applications
 * have it.
 */
export async function servePage(script: string, host = '127.0.0.1'): Promise<Server> {
  const server = createServer(({ url }, response) => {
    if (url === '/page.js') return response.setHeader('content-type', 'text/javascript').end(script);
    response.setHeader('content-type', 'text/html').setHeader('content-security-policy', "script-src 'self'");
    return response.end('<!doctype html><title>peer</title><script type="module" src="/page.js"></script>');
  }).listen(0, host);
  await once(server, 'listening');
  return server;
}
