/** What a browser shows at the relay's address. */
export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mcp-rendezvous relay</title>
<h1>mcp-rendezvous relay</h1>
<p>Peers connect to <code>/v1/connect</code> by WebSocket, with the subprotocol <code>mcp-rendezvous.v1</code> and a room token;
PROTOCOL.md in the project's repository describes it.</p>
<ul>
<li><a href="/healthz">/healthz</a>: the process is alive</li>
<li><a href="/readyz">/readyz</a>: it takes peers</li>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
</ul>
`;
