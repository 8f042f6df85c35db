import { useState } from 'preact/hooks';
import type { McpSession } from '../mcp/session.ts';
import type { Prompt } from '../mcp/types.ts';
import { isObject } from '../rpc/rpc.ts';
import { Completing } from './completing.tsx';
import { ErrorBox } from './error.tsx';
import { Messages } from './messages.tsx';
import { Picker } from './picker.tsx';
import { Json, Line } from './text.tsx';
import { Description } from './description.tsx';

export const Prompts = ({ session }: { session: McpSession }) => (
  <Picker
    noun="prompts"
    listing={session.prompts.value}
    keyOf={(prompt) => prompt.name}
    titleOf={(prompt) => prompt.title ?? prompt.name}
    detailOf={({ description }) => description ?? ''}
    reload={() => session.loadPrompts()}
  >
    {(prompt) => <PromptView key={prompt.name} prompt={prompt} session={session} />}
  </Picker>
);

function PromptView({ prompt, session }: { prompt: Prompt; session: McpSession }) {
  const [values, setValues] = useState<ReadonlyMap<string, string>>(new Map());
  const [result, setResult] = useState<unknown>();
  const [error, setError] = useState<unknown>();
  const given = Object.fromEntries([...values].filter(([, value]) => value !== ''));
  const asked = Array.isArray(prompt.arguments) ? prompt.arguments.filter((one) => typeof one?.name === 'string') : [];
  const get = (): Promise<void> =>
    session.getPrompt(prompt.name, given).then(
      (answer) => {
        setResult(answer);
        setError(undefined);
      },
      (reason: unknown) => setError(reason),
    );
  return (
    <article class="card" aria-label={`Prompt ${prompt.name}`}>
      <header>
        <h2>
          <Line>{prompt.title ?? prompt.name}</Line>
        </h2>
        <code>
          <Line>{prompt.name}</Line>
        </code>
      </header>
      {prompt.description && <Description text={prompt.description} />}
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void get();
        }}
      >
        {asked.slice(0, 60).map(({ name, description, required }) => (
          <Completing
            key={name}
            label={name}
            description={description ?? ''}
            required={required === true}
            value={values.get(name) ?? ''}
            onchange={(value) => setValues(new Map(values).set(name, value))}
            complete={(value, signal) =>
              session.complete({ type: 'ref/prompt', name: prompt.name }, name, value, given, signal)
            }
          />
        ))}
        <button type="submit" class="primary">
          Get
        </button>
      </form>
      <div class="outcome" role="status" aria-live="polite">
        {error !== undefined && <ErrorBox error={error} />}
        {result !== undefined &&
          (isObject(result) ? <Messages messages={result['messages']} /> : <Json value={result} label="Result" />)}
      </div>
    </article>
  );
}
