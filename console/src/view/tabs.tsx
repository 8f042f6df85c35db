import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';

export interface Tab {
  name: string;
  /** How many there are, if that is worth saying. */
  count?: number | undefined;
  view: () => ComponentChildren;
}

interface TabsProps {
  tabs: Tab[];
  label: string;
  /** A tab to go to, and a number that is another one for each time: `Resources 2`. */
  jump?: string;
}

/** Tabs with the keys of the ARIA Authoring Practices: arrows, Home and End. */
export function Tabs({ tabs, label, jump = '' }: TabsProps) {
  const [active, setActive] = useState(tabs[0]?.name ?? '');
  useEffect(() => {
    if (jump) setActive(jump.split(' ')[0] ?? '');
  }, [jump]);
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const at = Math.max(
    tabs.findIndex(({ name }) => name === active),
    0,
  );
  const tab = tabs[at];
  // What was looked at stays as it was left.
  const [visited, setVisited] = useState<string[]>([]);
  useEffect(() => setVisited((before) => (before.includes(active) ? before : [...before, active])), [active]);
  const move = (event: KeyboardEvent): void => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    const next = to === undefined ? undefined : tabs[(to + tabs.length) % tabs.length];
    if (!next) return;
    event.preventDefault();
    setActive(next.name);
    list.current?.querySelector<HTMLElement>(`[data-tab="${next.name}"]`)?.focus();
  };
  if (!tab) return null;
  return (
    <div class="tabs">
      <div role="tablist" aria-label={label} ref={list} onKeyDown={move}>
        {tabs.map(({ name, count }) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-${name}`}
            data-tab={name}
            aria-selected={name === tab.name}
            aria-controls={name === tab.name ? `${id}-panel-${name}` : undefined}
            tabIndex={name === tab.name ? 0 : -1}
            onClick={() => setActive(name)}
          >
            {name}
            {count !== undefined && <span class="count">{count > 999 ? '999+' : count}</span>}
          </button>
        ))}
      </div>
      {tabs
        .filter(({ name }) => visited.includes(name) || name === tab.name)
        .map(({ name, view }) => (
          <div
            key={name}
            role="tabpanel"
            id={`${id}-panel-${name}`}
            aria-labelledby={`${id}-${name}`}
            hidden={name !== tab.name}
          >
            {view()}
          </div>
        ))}
    </div>
  );
}
