import { asText, isObject, RpcError } from '../rpc/rpc.ts';
import { Json, Line, ms } from './text.tsx';
import { WebLink } from './weblink.tsx';

/** MCP's code for: somebody has to open an address first, and then call again. */
const urlElicitationRequired = -32_042;

export function ErrorBox({ error, tookMs }: { error: unknown; tookMs?: number | undefined }) {
  const isRpc = error instanceof RpcError;
  const { message } = error as Error;
  return (
    <div class="result error" role="alert">
      <h3>
        Error {isRpc && <code>{error.code}</code>}
        {tookMs !== undefined && <span class="muted"> {ms(tookMs)}</span>}
      </h3>
      <p>
        <Line most={2000}>{message}</Line>
      </p>
      {isRpc && error.code === urlElicitationRequired && <Addresses data={error.data} />}
      {isRpc && error.data !== undefined && (
        <details>
          <summary>Data</summary>
          <Json value={error.data} label="Error data" />
        </details>
      )}
    </div>
  );
}

function Addresses({ data }: { data: unknown }) {
  const asked = isObject(data) ? data['elicitations'] : undefined;
  if (!Array.isArray(asked)) return null;
  return (
    <ul class="plain">
      {asked.slice(0, 10).map((one: unknown, n) => (
        <li key={n}>
          <Line>{isObject(one) ? one['message'] : ''}</Line> <WebLink url={isObject(one) ? asText(one['url']) : ''} />
        </li>
      ))}
      <li class="muted">Open it, do what it asks, and call again.</li>
    </ul>
  );
}
