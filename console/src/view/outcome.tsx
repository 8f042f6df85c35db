import type { Task } from '../mcp/types.ts';
import { isObject, type Progress } from '../rpc/rpc.ts';
import { textOf } from '../rpc/trace.ts';
import { Content } from './content.tsx';
import { ErrorBox } from './error.tsx';
import { Json, Line, ms, Text } from './text.tsx';

/** A call of a tool, while it runs and when it is over. */
export interface Call {
  /** Gone when it is over. */
  cancel?: AbortController;
  progress?: Progress;
  task?: Task;
  result?: unknown;
  error?: unknown;
  tookMs?: number;
}

export function Outcome({
  call: { cancel, progress, task, result, error, tookMs },
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
              : (progress?.message ?? 'Waiting for the answer')}
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
        {isError === true ? 'The tool says that it failed' : 'Result'}
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
