// Ends with 0 when the relay of this container can place peers.
const { RELAY_PORT = '8787' } = process.env;
const { ok } = await fetch(`http://127.0.0.1:${RELAY_PORT || '8787'}/readyz`, { signal: AbortSignal.timeout(3000) });
process.exitCode = ok ? 0 : 1;
