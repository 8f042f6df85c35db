import { useState } from 'preact/hooks';
import type { McpSession } from '../mcp/session.ts';
import type { Subscription } from '../mcp/subscriptions.ts';
import { Cache } from './cache.tsx';
import { Folders, rootsOf } from './folders.tsx';
import { Json, Line, Text } from './text.tsx';

export function ServerView({ session }: { session: McpSession }) {
  const info = session.info.value;
  if (!info) return null;
  return (
    <div class="columns">
      <section class="card">
        <h2>
          <Line>{info.title ?? info.name}</Line>
        </h2>
        <dl class="facts">
          <dt>Name</dt>
          <dd>
            <Line>{info.name}</Line>
          </dd>
          <dt>Version</dt>
          <dd>
            <Line>{info.version ?? '–'}</Line>
          </dd>
          <dt>Protocol</dt>
          <dd>
            <Line>{info.protocolVersion}</Line>
          </dd>
          {info.supportedVersions && (
            <>
              <dt>Supports</dt>
              <dd>
                <Line>{info.supportedVersions.join(', ')}</Line>
              </dd>
            </>
          )}
        </dl>
        <Cache hint={info.cache} />
        {info.instructions && <Text text={info.instructions} label="Server instructions" />}
        <details>
          <summary>Capabilities</summary>
          <Json value={info.capabilities} label="Server capabilities" />
        </details>
      </section>
      <div>
        <Listening session={session} />
        <Roots session={session} />
      </div>
    </div>
  );
}

function Listening({ session }: { session: McpSession }) {
  const { listening } = session;
  if (!listening) return null;
  const all = listening.all.value;
  const lists = all.some(({ ended, asked }) => ended === undefined && !('resourceSubscriptions' in asked));
  return (
    <section class="card" aria-label="Subscriptions">
      <h2>Subscriptions</h2>
      {all.length === 0 && <p class="muted">None: this server does not report changes of its lists.</p>}
      <ul class="plain">
        {all.slice(-shown).map((one) => (
          <li key={one.id}>
            <code>#{one.id}</code> <Line>{wordsOf(one)}</Line>
          </li>
        ))}
      </ul>
      {all.length > 0 && !lists && (
        <button type="button" onClick={() => session.listen()}>
          Listen again
        </button>
      )}
    </section>
  );
}

/** Subscriptions that are listed; the newest ones. */
const shown = 20;

function wordsOf({ asked, agreed, count, ended }: Subscription): string {
  const about = Object.entries(agreed ?? asked)
    .filter(([, value]) => value === true || Array.isArray(value))
    .map(([name, value]) => (Array.isArray(value) ? value.join(', ') : name))
    .join(', ');
  const came = count === 1 ? '1 notification' : `${count} notifications`;
  const state = ended === undefined ? (agreed ? came : 'not acknowledged yet') : `ended: ${ended}`;
  return `${about || 'nothing'} (${state})`;
}

function Roots({ session }: { session: McpSession }) {
  const [text, setText] = useState(session.roots.value.map(({ uri }) => uri).join('\n'));
  return (
    <section class="card">
      <h2>Roots of this client</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          session.setRoots(rootsOf(text));
        }}
      >
        <Folders id="roots" value={text} onchange={setText} />
        <button type="submit">{session.listening ? 'Keep for when the server asks' : 'Tell the server'}</button>
      </form>
    </section>
  );
}
