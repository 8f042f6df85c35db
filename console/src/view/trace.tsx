import { useMemo, useState } from 'preact/hooks';
import { type Direction, type Kind, textOf, type Trace, type TraceEntry } from '../rpc/trace.ts';
import { bytes, Line, ms, saveFile, Text } from './text.tsx';

const step = 100;
/** Characters of each message that the filter looks into. */
const searched = 5000;

/**
 * Every JSON-RPC message of the session; filtered by text, direction and kind; exported as JSON.
 */
export function TraceView({ trace }: { trace: Trace }) {
  const [filter, setFilter] = useState('');
  const [direction, setDirection] = useState<Direction | ''>('');
  const [kind, setKind] = useState<Kind | ''>('');
  const [most, setMost] = useState(step);
  const [open, setOpen] = useState<number>();
  const entries = trace.recent.items.value;
  const found = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    return entries.filter(
      (entry) =>
        (!direction || entry.direction === direction) &&
        (!kind || entry.kind === kind) &&
        (!wanted ||
          entry.method.toLowerCase().includes(wanted) ||
          entry.text.slice(0, searched).toLowerCase().includes(wanted)),
    );
  }, [entries, filter, direction, kind]);
  const save = (): void => {
    const rows = found.map(({ at, direction: way, method, protocol, tookMs, text }) => ({
      at: new Date(at).toISOString(),
      direction: way,
      method,
      ...(protocol && { protocol }),
      ...(tookMs !== undefined && { tookMs: Math.round(tookMs * 10) / 10 }),
      message: parsed(text),
    }));
    saveFile(new Blob([JSON.stringify(rows, undefined, 2)], { type: 'application/json' }), 'trace.json');
  };
  return (
    <section class="trace">
      <div class="row">
        <input
          type="search"
          aria-label="Filter messages"
          placeholder="Filter"
          value={filter}
          onInput={({ currentTarget }) => setFilter(currentTarget.value)}
        />
        <select
          aria-label="Direction"
          value={direction}
          onChange={({ currentTarget }) => setDirection(currentTarget.value as Direction | '')}
        >
          <option value="">both ways</option>
          <option value="out">sent</option>
          <option value="in">received</option>
        </select>
        <select
          aria-label="Kind"
          value={kind}
          onChange={({ currentTarget }) => setKind(currentTarget.value as Kind | '')}
        >
          <option value="">all kinds</option>
          <option value="request">requests</option>
          <option value="response">responses</option>
          <option value="error">errors</option>
          <option value="notification">notifications</option>
        </select>
        <span class="muted grow">
          {found.length} of {trace.recent.count.value}
        </span>
        <button type="button" onClick={save} disabled={found.length === 0}>
          Export
        </button>
        <button type="button" class="quiet" onClick={() => trace.recent.clear()}>
          Clear
        </button>
      </div>
      {found.length === 0 ? (
        <p class="empty">{entries.length === 0 ? 'No message yet.' : 'No message matches.'}</p>
      ) : (
        <ol aria-label="Messages, newest first">
          {found
            .slice(-most)
            .toReversed()
            .map((entry) => (
              <Row
                key={entry.n}
                entry={entry}
                open={open === entry.n}
                toggle={() => setOpen(open === entry.n ? undefined : entry.n)}
              />
            ))}
        </ol>
      )}
      {found.length > most && (
        <button type="button" class="quiet" onClick={() => setMost(most + step)}>
          Show older ({found.length - most} left)
        </button>
      )}
    </section>
  );
}

function Row({ entry, open, toggle }: { entry: TraceEntry; open: boolean; toggle: () => void }) {
  const { at, direction, kind, method, id, protocol, tookMs, size: length, text } = entry;
  return (
    <li class={`${direction} ${kind}`}>
      <button type="button" aria-expanded={open} onClick={toggle}>
        <time>{clock(at)}</time>
        <span class="arrow" aria-label={direction === 'out' ? 'sent' : 'received'} role="img">
          {direction === 'out' ? '→' : '←'}
        </span>
        <span class="method">
          <Line most={80}>{method}</Line>
        </span>
        <span class="kind">
          {kind}
          {id !== undefined && (
            <>
              {' '}
              <Line most={12}>{`#${textOf(id)}`}</Line>
            </>
          )}
        </span>
        <span class="muted protocol">
          <Line most={12}>{protocol}</Line>
        </span>
        <span class="muted">{tookMs === undefined ? '' : ms(tookMs)}</span>
        <span class="muted">{bytes(length)}</span>
      </button>
      {open && <Text text={pretty(text)} label={`Message ${method}`} />}
    </li>
  );
}

/** A message that was cut is not JSON any more. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function pretty(text: string): string {
  const value = parsed(text);
  return typeof value === 'string' ? value : textOf(value, 2);
}

function clock(at: number): string {
  const date = new Date(at);
  return `${date.toLocaleTimeString('en-GB')}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
