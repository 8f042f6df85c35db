import { useState } from 'preact/hooks';
import type { McpSession } from '../mcp/session.ts';
import { logLevels } from '../mcp/types.ts';
import { useNotice } from './notice.tsx';
import { Line, Text } from './text.tsx';

const shown = 200;

/** What the server logs, from the level on that it is asked for. */
export function Log({ session }: { session: McpSession }) {
  const [level, setLevel] = useState('');
  const notice = useNotice();
  const logs = session.logs.items.value;
  const set = async (to: string): Promise<void> => {
    setLevel(to);
    await session.setLogLevel(to).catch((error: unknown) => notice(`Refused: ${(error as Error).message}`));
  };
  return (
    <section>
      <div class="row">
        {session.can('logging') && (
          <label class="inline">
            Minimum level{' '}
            <select value={level} onChange={({ currentTarget }) => void set(currentTarget.value)}>
              <option value="" disabled>
                {session.listening ? 'none' : 'server default'}
              </option>
              {logLevels.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <button type="button" class="quiet" onClick={() => session.logs.clear()}>
          Clear
        </button>
      </div>
      {logs.length === 0 ? (
        <p class="empty">
          {!session.can('logging')
            ? 'This server does not send its log.'
            : session.listening && !level
              ? 'Choose a level: the server logs only for requests that ask for it.'
              : 'No log messages yet.'}
        </p>
      ) : (
        <div role="log" aria-label="Log messages" tabIndex={0} class="scroll-log">
          <ol class="log">
            {logs.slice(-shown).map(({ n, at, level: of, logger, text }) => (
              <li key={n} class={`level-${logLevels.includes(of as 'info') ? of : 'info'}`}>
                <time>{new Date(at).toLocaleTimeString()}</time>
                <strong>
                  <Line most={20}>{of}</Line>
                </strong>
                <span class="muted">
                  <Line most={60}>{logger}</Line>
                </span>
                {text.length < 500 ? (
                  <span>
                    <Line most={500}>{text}</Line>
                  </span>
                ) : (
                  <Text text={text} label="Log message" />
                )}
              </li>
            ))}
          </ol>
        </div>
      )}
    </section>
  );
}
