import { SettledButton } from '../consent/button.tsx';
import { Withdrawn } from '../consent/withdrawn.tsx';
import type { Gate } from '../share/gate.ts';
import { Line } from './text.tsx';

/** What a client wants that the person here has to allow, one request after the other. */
export function Requests({ gate: { requests } }: { gate: Gate }) {
  const [request, ...others] = requests.questions.value;
  if (!request) return null;
  const { n, peer, what, withdrawn } = request;
  const decision = `${n} ${peer.subject} ${what}`;
  return (
    <section class="ask" role="alertdialog" aria-label="A client asks" aria-describedby="request">
      <h2>Allow this?</h2>
      <More count={others.length} />
      <p id="request">
        <strong>
          <Line most={80}>{peer.subject}</Line>
        </strong>{' '}
        wants to {what}.
      </p>
      {withdrawn ? (
        <Withdrawn n={n} by="client" ondismiss={(gone) => requests.dismiss(gone)} />
      ) : (
        <div class="row">
          <SettledButton class="allow" standsFor={`allow ${decision}`} onPress={request.allow}>
            Allow once
          </SettledButton>
          <SettledButton standsFor={`deny ${decision}`} onPress={request.deny}>
            Deny
          </SettledButton>
        </div>
      )}
    </section>
  );
}

/**
 * Above the buttons, which stay where they are while others come and go: the panel grows upwards.
 */
export const More = ({ count }: { count: number }) =>
  count > 0 ? <p class="muted">{count} more after this one.</p> : null;
