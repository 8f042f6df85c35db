// Ends with 0 when the relay of this container answers. Not whether it can place peers: another
// process would not bring Redis back, and this one holds the sockets. `node healthcheck.js /readyz`
// asks for that.
const { RELAY_PORT = '8787' } = process.env;
const [, , path = '/healthz'] = process.argv;
const { ok } = await fetch(`http://127.0.0.1:${RELAY_PORT || '8787'}${path}`, { signal: AbortSignal.timeout(3000) });
process.exitCode = ok ? 0 : 1;
