import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Listing } from '../mcp/session.ts';
import { Cache } from './cache.tsx';
import { Line } from './text.tsx';

interface PickerProps<T> {
  noun: string;
  listing: Listing<T>;
  keyOf: (item: T) => string;
  titleOf: (item: T) => string;
  detailOf: (item: T) => string;
  reload: () => void;
  /** Which one is chosen at first, if not the first one. */
  first?: string | undefined;
  /** The view of the one that is chosen. */
  children: (item: T) => ComponentChildren;
}

/**
 * Items that are drawn at once: a server may have thousands. On a phone what is chosen stands below
 * the list, which must not push it away.
 */
const step = window.matchMedia('(max-width: 860px)').matches ? 8 : 100;

/** A list to choose from, with a filter, and what is chosen beside it. */
export function Picker<T>({ noun, listing, keyOf, titleOf, detailOf, reload, first, children }: PickerProps<T>) {
  const [filter, setFilter] = useState('');
  const [chosen, setChosen] = useState(first);
  const [most, setMost] = useState(step);
  const { items, state, error, cut, cache } = listing;
  if (state === 'absent') return <p class="empty">This server has no {noun}.</p>;
  if (state === 'loading') return <p class="empty">Loading the {noun} …</p>;
  const wanted = filter.trim().toLowerCase();
  const found = wanted
    ? items.filter((item) => `${keyOf(item)} ${titleOf(item)}`.slice(0, 500).toLowerCase().includes(wanted))
    : items;
  const current = items.find((item) => keyOf(item) === chosen) ?? found[0];
  return (
    <div class="picker">
      <div class="picker-list">
        <div class="row">
          <input
            type="search"
            aria-label={`Filter ${noun}`}
            placeholder={`Filter ${items.length} ${noun}`}
            value={filter}
            onInput={({ currentTarget }) => {
              setFilter(currentTarget.value);
              setMost(step);
            }}
          />
          <button type="button" class="quiet" onClick={reload} title={`Load the ${noun} again`}>
            Reload
          </button>
        </div>
        {state === 'failed' && (
          <p class="wrong" role="alert">
            <Line most={500}>{error}</Line>
          </p>
        )}
        {cut === true && <p class="muted">There are more than {items.length}; the rest is left out.</p>}
        <Cache hint={cache} />
        <ul aria-label={noun}>
          {found.slice(0, most).map((item, n) => (
            <li key={n}>
              <button
                type="button"
                aria-pressed={item === current}
                data-key={keyOf(item).slice(0, 200)}
                onClick={() => setChosen(keyOf(item))}
              >
                <strong>
                  <Line most={80}>{titleOf(item)}</Line>
                </strong>
                <span class="muted">
                  <Line most={120}>{detailOf(item)}</Line>
                </span>
              </button>
            </li>
          ))}
        </ul>
        {found.length === 0 && (
          <p class="muted">{items.length === 0 ? `This server has no ${noun}.` : 'Nothing matches.'}</p>
        )}
        {found.length > most && (
          <button type="button" class="quiet" onClick={() => setMost(most + step)}>
            Show more ({found.length - most} left)
          </button>
        )}
      </div>
      <div class="picker-view">{current === undefined ? null : children(current)}</div>
    </div>
  );
}
