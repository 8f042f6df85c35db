import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { AppAsk } from '../apps/ask.tsx';
import { SettledButton } from '../consent/button.tsx';
import type { Question } from '../consent/queue.ts';
import { Withdrawn } from '../consent/withdrawn.tsx';
import { Members } from '../form/form.tsx';
import { initialOf, readSchema } from '../form/schema.ts';
import type { Ask, McpSession } from '../mcp/session.ts';
import type { Root } from '../mcp/types.ts';
import { asText } from '../rpc/rpc.ts';
import { Folders, rootsOf } from './folders.tsx';
import { Messages } from './messages.tsx';
import { More } from './permission.tsx';
import { Json, Line } from './text.tsx';
import { WebLink } from './weblink.tsx';

/** What the server asks of the person at the console, one question after the other. */
export function Asks({ session: { asks, roots } }: { session: McpSession }) {
  const [ask, ...others] = asks.questions.value;
  if (!ask) return null;
  return (
    <section class="ask" role="dialog" aria-label={ask.kind === 'app' ? 'An app asks' : 'The server asks'}>
      <AskView key={ask.n} ask={ask} more={others.length} roots={roots.value} ondismiss={(n) => asks.dismiss(n)} />
    </section>
  );
}

interface AskProps {
  ask: Question<Ask>;
  ondismiss: (n: number) => void;
}

function AskView({ ask, more, roots, ondismiss }: AskProps & { more: number; roots: Root[] }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const title =
    ask.kind === 'app'
      ? 'An app asks'
      : ask.kind === 'sampling'
        ? 'The server requests a model response'
        : ask.kind === 'roots'
          ? 'The server asks for your folders'
          : ask.params['mode'] === 'url'
            ? 'The server asks you to open a URL'
            : 'The server asks you something';
  return (
    <>
      <h2 ref={heading} tabIndex={-1}>
        {title}
      </h2>
      <More count={more} />
      {ask.kind === 'app' ? (
        <AppAsk ask={ask} ondismiss={ondismiss} />
      ) : ask.kind === 'sampling' ? (
        <Sampling ask={ask} ondismiss={ondismiss} />
      ) : ask.kind === 'roots' ? (
        <RootsQuestion ask={ask} roots={roots} ondismiss={ondismiss} />
      ) : ask.params['mode'] === 'url' ? (
        <UrlElicitation ask={ask} ondismiss={ondismiss} />
      ) : (
        <Elicitation ask={ask} ondismiss={ondismiss} />
      )}
    </>
  );
}

function Sampling({ ask, ondismiss }: AskProps) {
  const [text, setText] = useState('');
  const { messages, systemPrompt, ...rest } = ask.params;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const content = { type: 'text', text };
        ask.answer({ role: 'assistant', content, model: 'a console user', stopReason: 'endTurn' });
      }}
    >
      {typeof systemPrompt === 'string' && systemPrompt !== '' && (
        <p>
          <strong>System</strong> <Line most={2000}>{systemPrompt}</Line>
        </p>
      )}
      <Messages messages={messages} />
      <details>
        <summary>Parameters</summary>
        <Json value={rest} label="Parameters" />
      </details>
      <div class="field">
        <label for="sampling-answer">The answer, by hand</label>
        <textarea
          id="sampling-answer"
          rows={4}
          required
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
      </div>
      <Answers ask={ask} accept="Answer" ondismiss={ondismiss}>
        <Refusing ask={ask} />
      </Answers>
    </form>
  );
}

function RootsQuestion({ ask, roots, ondismiss }: AskProps & { roots: Root[] }) {
  const [text, setText] = useState(roots.map(({ uri }) => uri).join('\n'));
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        ask.answer({ roots: rootsOf(text) });
      }}
    >
      <Folders id="roots-answer" value={text} onchange={setText} />
      <Answers ask={ask} accept="Answer" ondismiss={ondismiss}>
        <Refusing ask={ask} />
      </Answers>
    </form>
  );
}

function Elicitation({ ask, ondismiss }: AskProps) {
  const field = useMemo(() => readSchema(ask.params['requestedSchema']), [ask.params]);
  const [value, setValue] = useState<unknown>(() => initialOf(field, undefined) ?? {});
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        ask.answer({ action: 'accept', content: value });
      }}
    >
      <p>
        <Line most={2000}>{ask.params['message']}</Line>
      </p>
      <div class="ask-fields">
        {field.kind === 'group' && <Members members={field.members} value={value} onchange={setValue} />}
      </div>
      <Answers ask={ask} accept="Answer" ondismiss={ondismiss}>
        <Declining ask={ask} />
      </Answers>
    </form>
  );
}

const UrlElicitation = ({ ask, ondismiss }: AskProps) => (
  <form
    onSubmit={(event) => {
      event.preventDefault();
      ask.answer({ action: 'accept' });
    }}
  >
    <p>
      <Line most={2000}>{ask.params['message']}</Line>
    </p>
    <p>
      <WebLink url={asText(ask.params['url'])} />
    </p>
    <Answers ask={ask} accept="I opened it" ondismiss={ondismiss}>
      <Declining ask={ask} />
    </Answers>
  </form>
);

/** `children`: the other answers than that which submits the form. */
const Answers = ({
  ask: { n, withdrawn, by },
  accept,
  ondismiss,
  children,
}: AskProps & { accept: string; children: ComponentChildren }) =>
  withdrawn ? (
    <Withdrawn n={n} by={by ?? 'server'} ondismiss={ondismiss} />
  ) : (
    <div class="row">
      <SettledButton class="primary" standsFor={`accept ${n}`}>
        {accept}
      </SettledButton>
      {children}
    </div>
  );

const Refusing = ({ ask: { n, refuse } }: { ask: Question<Ask> }) => (
  <SettledButton standsFor={`refuse ${n}`} onPress={() => refuse('The console user declined.')}>
    Refuse
  </SettledButton>
);

const Declining = ({ ask: { n, answer } }: { ask: Question<Ask> }) => (
  <>
    <SettledButton standsFor={`decline ${n}`} onPress={() => answer({ action: 'decline' })}>
      Decline
    </SettledButton>
    <SettledButton class="quiet" standsFor={`cancel ${n}`} onPress={() => answer({ action: 'cancel' })}>
      Dismiss
    </SettledButton>
  </>
);
