import { SettledButton } from '../consent/button.tsx';
import type { Question } from '../consent/queue.ts';
import { Withdrawn } from '../consent/withdrawn.tsx';
import type { Ask } from '../mcp/session.ts';
import { Json, Line, visible } from '../view/text.tsx';
import { WebLink } from '../view/weblink.tsx';

interface AppAskProps {
  ask: Question<Ask>;
  ondismiss: (n: number) => void;
}

/** What an app asks of the person: to have a tool called, or a page opened. */
export function AppAsk({ ask: { n, params, withdrawn, answer, refuse, stop }, ondismiss }: AppAskProps) {
  const { name, url, from } = params;
  const app = (
    <code>
      <Line most={80}>{from}</Line>
    </code>
  );
  return (
    <>
      {typeof url === 'string' ? (
        <>
          <p>The app of {app} wants to open a page:</p>
          <p>
            {withdrawn ? <code>{visible(url.slice(0, 500))}</code> : <WebLink url={url} onOpen={() => answer({})} />}
          </p>
        </>
      ) : (
        <>
          <p>
            The app of {app} wants to call the tool{' '}
            <strong>
              <Line>{name}</Line>
            </strong>
            :
          </p>
          <Json value={params['arguments']} label="Arguments" />
        </>
      )}
      {withdrawn ? (
        <Withdrawn n={n} by="app" ondismiss={ondismiss} />
      ) : (
        <div class="row">
          {url === undefined && (
            <SettledButton class="primary" standsFor={`call ${n}`} onPress={() => answer({})}>
              Call it once
            </SettledButton>
          )}
          <SettledButton standsFor={`deny ${n}`} onPress={() => refuse('The person at the console declined.')}>
            Deny
          </SettledButton>
          <SettledButton
            class="quiet"
            standsFor={`stop ${n}`}
            onPress={() => {
              stop?.(); // this withdraws the question
              ondismiss(n);
            }}
          >
            Stop the app
          </SettledButton>
        </div>
      )}
    </>
  );
}
