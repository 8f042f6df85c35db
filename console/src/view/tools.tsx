import { type Signal, signal } from '@preact/signals';
import { useMemo, useState } from 'preact/hooks';
import { App } from '../apps/lazy.tsx';
import { toolUi } from '../apps/tool.ts';
import { JsonInput, Members } from '../form/form.tsx';
import { initialOf, readSchema } from '../form/schema.ts';
import type { McpSession } from '../mcp/session.ts';
import type { Tool } from '../mcp/types.ts';
import { Description } from './description.tsx';
import { type Call, Outcome } from './outcome.tsx';
import { Picker } from './picker.tsx';
import { Json, Line } from './text.tsx';

/** The server's tools: choose one, fill in its form, call it. */
export function Tools({ session, onread }: { session: McpSession; onread: (uri: string) => void }) {
  const listing = session.tools.value;
  return (
    <Picker
      noun="tools"
      listing={listing}
      keyOf={(tool) => tool.name}
      titleOf={(tool) => toolTitle(tool)}
      detailOf={({ description }) => description ?? ''}
      reload={() => session.loadTools()}
    >
      {(tool) => <ToolView key={tool.name} tool={tool} session={session} onread={onread} />}
    </Picker>
  );
}

const toolTitle = ({ title, annotations, name }: Tool): string => {
  const annotated = annotations?.['title'];
  return title ?? (typeof annotated === 'string' ? annotated : name);
};

/** What was filled in, and the newest call: kept while one looks at other tools. */
interface Draft {
  value: Signal<unknown>;
  call: Signal<Call | undefined>;
}

const drafts = new WeakMap<McpSession, Map<string, Draft>>();

function draftOf(session: McpSession, name: string, initial: unknown): Draft {
  const ofSession = drafts.get(session) ?? new Map<string, Draft>();
  drafts.set(session, ofSession);
  const draft = ofSession.get(name) ?? { value: signal(initial), call: signal<Call | undefined>(undefined) };
  ofSession.set(name, draft);
  return draft;
}

function ToolView({ tool, session, onread }: { tool: Tool; session: McpSession; onread: (uri: string) => void }) {
  const field = useMemo(() => readSchema(tool.inputSchema ?? { type: 'object' }), [tool.inputSchema]);
  const draft = useMemo(() => draftOf(session, tool.name, initialOf(field, undefined)), [session, tool.name]);
  const value = draft.value.value;
  const call = draft.call.value;
  const setValue = (to: unknown): void => void (draft.value.value = to);
  const [asJson, setAsJson] = useState(field.kind !== 'group');
  const { resourceUri } = toolUi(tool);
  // Since 2026-07-28 the server decides.
  const taskSupport = session.listening ? undefined : tool.execution?.taskSupport;
  const [asTask, setAsTask] = useState(taskSupport === 'required');

  const run = async (): Promise<void> => {
    const cancel = new AbortController();
    const began = performance.now();
    const made = { n: (draft.call.value?.n ?? 0) + 1, given: value ?? {} };
    const update = (change: Partial<Call>): void =>
      void (draft.call.value = { ...made, ...draft.call.value, ...change });
    draft.call.value = { ...made, cancel };
    const end = (change: Partial<Call>): void =>
      void (draft.call.value = { ...made, ...change, tookMs: performance.now() - began });
    try {
      const result = await session.callTool(tool.name, made.given, {
        signal: cancel.signal,
        onprogress: (progress) => update({ progress }),
        ontask: (task) => update({ task }),
        onround: (round) => update({ round }),
        asTask,
      });
      end({ result });
    } catch (error) {
      end({ error: cancel.signal.aborted ? new Error('Cancelled. The server was notified.') : error });
    }
  };

  return (
    <article class="card" aria-label={`Tool ${tool.name}`}>
      <header>
        <h2>
          <Line>{toolTitle(tool)}</Line>
        </h2>
        <code>
          <Line>{tool.name}</Line>
        </code>
        <Hints tool={tool} />
      </header>
      {tool.description && <Description text={tool.description} />}
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!call?.cancel) void run();
        }}
      >
        {field.kind === 'group' && !asJson ? (
          <Members members={field.members} value={value} onchange={setValue} />
        ) : (
          <JsonInput label="Arguments" description="As JSON" required={false} value={value} onchange={setValue} />
        )}
        <div class="row">
          <button type="submit" class="primary" disabled={call?.cancel !== undefined}>
            Call
          </button>
          {call?.cancel && (
            <button type="button" onClick={() => call.cancel?.abort(new Error('cancelled'))}>
              Cancel
            </button>
          )}
          {field.kind === 'group' && field.members.length > 0 && (
            <button type="button" class="quiet" onClick={() => setAsJson(!asJson)}>
              {asJson ? 'As a form' : 'As JSON'}
            </button>
          )}
          {taskSupport === 'optional' && (
            <label class="check">
              <input
                type="checkbox"
                checked={asTask}
                onChange={({ currentTarget }) => setAsTask(currentTarget.checked)}
              />
              as a task
            </label>
          )}
        </div>
      </form>
      <div class="outcome" role="status" aria-live="polite" aria-busy={call?.cancel !== undefined}>
        {call && <Outcome call={call} onread={onread} />}
      </div>
      <details>
        <summary>Schemas</summary>
        <Json value={tool.inputSchema} label="Input schema" />
        {tool.outputSchema !== undefined && <Json value={tool.outputSchema} label="Output schema" />}
      </details>
      {call && resourceUri !== undefined && <App session={session} tool={tool} uri={resourceUri} call={call} />}
    </article>
  );
}

const hints = {
  readOnlyHint: ['reads only', 'may change things'],
  destructiveHint: ['may destroy', undefined],
  openWorldHint: ['reaches outside', undefined],
} as const;

/** What the server says of the tool; a hint, and no promise. */
function Hints({ tool }: { tool: Tool }) {
  const { annotations, execution } = tool;
  const words = Object.entries(hints).flatMap(([name, [yes, no]]): string[] => {
    const value = annotations?.[name];
    return value === true ? [yes] : value === false && no ? [no] : [];
  });
  if (execution?.taskSupport === 'required') words.push('a task');
  const { resourceUri, forModels } = toolUi(tool);
  if (resourceUri !== undefined) words.push('has an app');
  if (!forModels) words.push('for apps only');
  return (
    <>
      {words.map((word) => (
        <span key={word} class="tag">
          {word}
        </span>
      ))}
    </>
  );
}
