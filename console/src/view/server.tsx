import { useState } from 'preact/hooks';
import type { McpSession } from '../mcp/session.ts';
import { Json, Line, Text } from './text.tsx';

/** Who the server says it is, and the roots that this client tells it of. */
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
        </dl>
        {info.instructions && <Text text={info.instructions} label="Instructions of the server" />}
        <details>
          <summary>Capabilities</summary>
          <Json value={info.capabilities} label="Capabilities of the server" />
        </details>
      </section>
      <Roots session={session} />
    </div>
  );
}

function Roots({ session }: { session: McpSession }) {
  const [text, setText] = useState(session.roots.value.map(({ uri }) => uri).join('\n'));
  const save = (): void =>
    session.setRoots(
      text
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line.startsWith('file://'))
        .map((uri) => ({ uri, name: uri.split('/').findLast((part) => part !== '') ?? uri })),
    );
  return (
    <section class="card">
      <h2>Roots of this client</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <div class="field">
          <label for="roots">Folders, one a line</label>
          <textarea
            id="roots"
            class="code"
            rows={3}
            placeholder="file:///home/me/project"
            value={text}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
          <small>The server is told of {session.roots.value.length}.</small>
        </div>
        <button type="submit">Tell the server</button>
      </form>
    </section>
  );
}
