import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Members } from '../form/form.tsx';
import { initialOf, readSchema } from '../form/schema.ts';
import type { Ask, McpSession } from '../mcp/session.ts';
import { asText } from '../rpc/rpc.ts';
import { Messages } from './messages.tsx';
import { Json, Line } from './text.tsx';
import { WebLink } from './weblink.tsx';

/** What the server asks of the person at the console, one question after the other. */
export function Asks({ session }: { session: McpSession }) {
  const [ask, ...others] = session.asks.value;
  if (!ask) return null;
  return (
    <section class="ask" role="dialog" aria-label="The server asks">
      <AskView key={ask.n} ask={ask} />
      {others.length > 0 && <p class="muted">{others.length} more after this one.</p>}
    </section>
  );
}

function AskView({ ask }: { ask: Ask }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const title =
    ask.kind === 'sampling'
      ? 'The server asks for a model’s answer'
      : ask.params['mode'] === 'url'
        ? 'The server asks you to open an address'
        : 'The server asks you something';
  return (
    <>
      <h2 ref={heading} tabIndex={-1}>
        {title}
      </h2>
      {ask.kind === 'sampling' ? (
        <Sampling ask={ask} />
      ) : ask.params['mode'] === 'url' ? (
        <UrlElicitation ask={ask} />
      ) : (
        <Elicitation ask={ask} />
      )}
    </>
  );
}

function Sampling({ ask }: { ask: Ask }) {
  const [text, setText] = useState('');
  const { messages, systemPrompt, ...rest } = ask.params;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const content = { type: 'text', text };
        ask.answer({ role: 'assistant', content, model: 'a person at a console', stopReason: 'endTurn' });
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
      <div class="row">
        <button type="submit" class="primary">
          Answer
        </button>
        <button type="button" onClick={() => ask.refuse('The person at the console refused.')}>
          Refuse
        </button>
      </div>
    </form>
  );
}

function Elicitation({ ask }: { ask: Ask }) {
  const field = useMemo(() => readSchema(ask.params['requestedSchema']), [ask]);
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
      <Answers ask={ask} accept="Answer" />
    </form>
  );
}

const UrlElicitation = ({ ask }: { ask: Ask }) => (
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
    <Answers ask={ask} accept="I opened it" />
  </form>
);

const Answers = ({ ask, accept }: { ask: Ask; accept: string }) => (
  <div class="row">
    <button type="submit" class="primary">
      {accept}
    </button>
    <button type="button" onClick={() => ask.answer({ action: 'decline' })}>
      Decline
    </button>
    <button type="button" class="quiet" onClick={() => ask.answer({ action: 'cancel' })}>
      Dismiss
    </button>
  </div>
);
