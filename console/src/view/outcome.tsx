import type { TaskState } from '../mcp/types.ts';
import { isObject, type Progress } from '../rpc/rpc.ts';
import { textOf } from '../rpc/trace.ts';
import { Content } from './content.tsx';
import { ErrorBox } from './error.tsx';
import { Json, Line, ms, Text } from './text.tsx';

export interface Call {
  /** Which one of the tool's. */
  n: number;
  /** The arguments. */
  given: unknown;
  /** Gone when it is over. */
  cancel?: AbortController;
  progress?: Progress;
  task?: TaskState;
  /** How often the server has answered that it needs something first. */
  round?: number;
  result?: unknown;
  error?: unknown;
  tookMs?: number;
}

export function Outcome({
  call: { cancel, progress, task, round, result, error, tookMs },
  onread,
}: {
  call: Call;
  onread: (uri: string) => void;
}) {
  if (cancel) {
    return (
      <div class="progress">
        {progress?.total === undefined ? (
          <progress aria-label="Progress" />
        ) : (
          <progress aria-label="Progress" value={progress.progress} max={progress.total} />
        )}
        <span class="muted">
          <Line>
            {task
              ? `Task ${task.status}. ${task.statusMessage ?? ''}`
              : (progress?.message ??
                (round === undefined ? 'Waiting for the answer' : `The server needs input (round ${round})`))}
          </Line>
        </span>
      </div>
    );
  }
  if (error !== undefined) return <ErrorBox error={error} tookMs={tookMs} />;
  return <Result result={result} tookMs={tookMs} onread={onread} />;
}

function Result({
  result,
  tookMs,
  onread,
}: {
  result: unknown;
  tookMs: number | undefined;
  onread: (uri: string) => void;
}) {
  if (!isObject(result)) return <Json value={result} label="Result" />;
  const { content, structuredContent, isError } = result;
  return (
    <div class={isError === true ? 'result error' : 'result'}>
      <h3>
        {isError === true ? 'Tool error' : 'Result'}
        {tookMs !== undefined && <span class="muted"> {ms(tookMs)}</span>}
      </h3>
      {content !== undefined && <Content blocks={content} onread={onread} />}
      {structuredContent !== undefined && (
        <section>
          <h3>Structured content</h3>
          <Text text={textOf(structuredContent, 2)} label="Structured content" />
        </section>
      )}
      {content === undefined && structuredContent === undefined && <Json value={result} label="Result" />}
    </div>
  );
}
