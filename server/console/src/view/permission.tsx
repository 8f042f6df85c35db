import type { Gate } from '../share/gate.ts';
import { Line } from './text.tsx';

/** What a client wants that the person here has to allow, one request after the other. */
export function Requests({ gate }: { gate: Gate }) {
  const [request, ...others] = gate.requests.value;
  if (!request) return null;
  return (
    <section class="ask" role="alertdialog" aria-label="A client asks" aria-describedby="request">
      <h2>May it?</h2>
      <p id="request">
        <strong>
          <Line most={80}>{request.peer.subject}</Line>
        </strong>{' '}
        wants to {request.what}.
      </p>
      <div class="row">
        <button type="button" class="primary" key={request.n} onClick={request.allow}>
          Allow once
        </button>
        <button type="button" onClick={request.deny}>
          Deny
        </button>
      </div>
      {others.length > 0 && <p class="muted">{others.length} more after this one.</p>}
    </section>
  );
}
