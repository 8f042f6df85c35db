import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { takeFromAddress } from './invite/address.ts';
import { docs, relayHost } from './place.ts';
import { Connect } from './view/connect.tsx';
import { Notice } from './view/notice.tsx';

const views = { connect: 'Connect', share: 'Share this tab', overview: 'Overview' } as const;
type View = keyof typeof views;

const viewOfHash = (): View =>
  location.hash === '#share' ? 'share' : location.hash === '#overview' ? 'overview' : 'connect';
takeFromAddress();
const view = signal<View>(viewOfHash());
addEventListener('hashchange', () => {
  takeFromAddress();
  view.value = viewOfHash();
});

/** The whole console. What the first view does not need is loaded when it is asked for. */
export function App() {
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}
      >
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#connect">
          <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
            <path class="faint" d="M7 22 16 8l9 14" />
            <path class="line" d="M9 22.5h14" />
            <circle class="hub" cx="16" cy="8" r="3.5" />
            <circle class="end" cx="7" cy="22.5" r="5" />
            <circle class="end" cx="25" cy="22.5" r="5" />
          </svg>
          <span>
            mcp-rendezvous <small>{relayHost}</small>
          </span>
        </a>
        <nav aria-label="Views">
          {Object.entries(views).map(([name, title]) => (
            <a key={name} href={`#${name}`} aria-current={view.value === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
          {docs !== undefined && (
            <a href={docs} target="_blank" rel="noreferrer">
              Docs
            </a>
          )}
        </nav>
      </header>
      <main id="main" tabIndex={-1}>
        {/* Both go on while one looks at another view: a session does not end by that. */}
        <div hidden={view.value !== 'connect'}>
          <Connect />
        </div>
        <Kept on={view.value === 'share'} load={async () => (await import('./view/share.tsx')).Share} />
        <Kept on={view.value === 'overview'} load={async () => (await import('./overview/overview.tsx')).Overview} />
      </main>
      <Notice />
    </>
  );
}

/** A view that is made when it is first looked at, and then only hidden. */
function Kept({ on, load }: { on: boolean; load: () => Promise<ComponentType> }) {
  const [loaded, setLoaded] = useState<{ Content: ComponentType }>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (!on || loaded) return;
    load().then(
      (Content) => setLoaded({ Content }),
      () => setFailed(true),
    );
  }, [on, loaded]);
  return (
    <div hidden={!on}>
      {loaded && <loaded.Content />}
      {failed && (
        <p role="alert">This part of the console could not be loaded. Is the relay running? Reload the page.</p>
      )}
    </div>
  );
}
