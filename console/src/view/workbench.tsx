import { useEffect, useState } from 'preact/hooks';
import type { Connection } from '../mcp/connection.ts';
import { type Journal, stepLabels } from '../observe/journal.ts';
import type { Serving } from '../share/serve.ts';
import { Asks } from './asks.tsx';
import { Diagram, type Path, type Phase } from './diagram.tsx';
import { FailureCard } from './failure.tsx';
import { Figures, Pairs } from './figures.tsx';
import { Log } from './log.tsx';
import { Prompts } from './prompts.tsx';
import { Resources } from './resources.tsx';
import { ServerView } from './server.tsx';
import { type Tab, Tabs } from './tabs.tsx';
import { ms } from './text.tsx';
import { Recoveries, Timeline } from './timeline.tsx';
import { Tools } from './tools.tsx';
import { TraceView } from './trace.tsx';

interface WorkbenchProps {
  connection: Connection;
  /** The demonstration's other end, which is in this page. */
  serving: Serving | undefined;
  onclose: () => void;
  onagain: () => void;
}

/** One connection: drawn, measured, and used. */
export function Workbench({ connection, serving, onclose, onagain }: WorkbenchProps) {
  const { journal, meter, trace } = connection;
  const session = connection.session.value;
  const failure = journal.failure.value;
  const phase = phaseOf(connection);
  const [resource, setResource] = useState<string>();
  const [jump, setJump] = useState(0);
  useEffect(() => () => connection.close(), [connection]);
  const read = (uri: string): void => {
    setResource(uri);
    setJump((n) => n + 1);
  };
  const info = session?.info.value;
  const peer = connection.peer.value;
  const selected = meter.selected;
  const path = selected && {
    local: selected.local.type,
    remote: selected.remote.type,
    protocol: selected.local.protocol,
  };
  const roundTripMs = meter.samples.value.at(-1)?.roundTripMs;
  const caption = captionOf(phase, journal, path, roundTripMs);

  const tabs: Tab[] = session
    ? [
        {
          name: 'Tools',
          count: session.tools.value.items.length,
          view: () => <Tools session={session} onread={read} />,
        },
        {
          name: 'Resources',
          count: session.resources.value.items.length + session.templates.value.items.length,
          view: () => <Resources session={session} open={resource} />,
        },
        { name: 'Prompts', count: session.prompts.value.items.length, view: () => <Prompts session={session} /> },
        { name: 'Log', count: session.logs.count.value, view: () => <Log session={session} /> },
        { name: 'Server', view: () => <ServerView session={session} /> },
        { name: 'Trace', count: trace.recent.count.value, view: () => <TraceView trace={trace} /> },
      ]
    : [{ name: 'Trace', count: trace.recent.count.value, view: () => <TraceView trace={trace} /> }];

  return (
    <>
      <h1 class="hidden">Connection</h1>
      <section class="stage" aria-label="Connection">
        <div class="stage-head">
          <p class={`state ${phase}`} role="status">
            {caption}
          </p>
          <div class="row">
            {serving && phase === 'connected' && (
              <button
                type="button"
                onClick={() => serving.cut()}
                title="Ends the data channel as a broken network would"
              >
                Cut the connection
              </button>
            )}
            {phase === 'failed' || phase === 'closed' ? (
              <button type="button" class="primary" onClick={onagain}>
                Try again
              </button>
            ) : (
              <button type="button" onClick={() => connection.close()}>
                Disconnect
              </button>
            )}
            <button type="button" class="quiet" onClick={onclose}>
              Back
            </button>
          </div>
        </div>
        <Diagram
          phase={phase}
          here={{ title: 'This page', detail: 'MCP client' }}
          there={{
            title: info ? (info.title ?? info.name) : serving ? 'This page, too' : (peer?.subject ?? 'The other peer'),
            detail: serving ? 'MCP server, in this page' : peer ? `MCP server, ${peer.subject}` : 'MCP server',
          }}
          path={path}
          label={labelOf(phase, roundTripMs)}
          caption={caption}
          journal={journal}
          done={journal.steps.value}
          failedAt={failure?.step}
        />
        {failure && <FailureCard failure={failure} />}
        {!(failure && meter.samples.value.length === 0) && <Figures meter={meter} />}
        <details class="depth" open={phase === 'failed' || phase === 'connecting'}>
          <summary>Timeline and network paths</summary>
          <div class="columns">
            <section aria-label="Timeline">
              <h2>From the click to the first answer</h2>
              <Timeline journal={journal} />
            </section>
            <section aria-label="Network paths">
              <h2>Candidate pairs</h2>
              <Pairs meter={meter} />
            </section>
          </div>
        </details>
        <Recoveries journal={journal} />
      </section>
      <Tabs
        key={session ? 'session' : 'none'}
        tabs={tabs}
        label="MCP session"
        jump={jump > 0 ? `Resources ${jump}` : ''}
      />
      {session && <Asks session={session} />}
    </>
  );
}

function phaseOf({ state, journal, session }: Connection): Phase {
  if (journal.failure.value) return 'failed';
  if (state.value === 'closed') return 'closed';
  if (state.value === 'recovering') return 'recovering';
  return session.value ? 'connected' : 'connecting';
}

function captionOf(phase: Phase, journal: Journal, path: Path | undefined, roundTripMs: number | undefined): string {
  switch (phase) {
    case 'idle':
      return 'Not connected';
    case 'connecting': {
      const { current } = journal;
      return current ? `Connecting: ${stepLabels[current].toLowerCase()}` : 'Connecting';
    }
    case 'connected': {
      if (!path) return 'Connected';
      const away = roundTripMs === undefined ? '' : `, ${ms(roundTripMs)} away`;
      return `Connected ${pathWords(path)}${away}`;
    }
    case 'recovering':
      return 'The network path is lost. Messages wait while another one is sought';
    case 'closed':
      return 'Disconnected';
    case 'failed':
      return `Failed at: ${stepLabels[journal.failure.value?.step ?? 'relay'].toLowerCase()}`;
  }
}

function pathWords({ local, remote, protocol }: Path): string {
  const over = `over ${protocol.toUpperCase()}`;
  if (local === 'relay' || remote === 'relay') return `through a TURN server, ${over}`;
  return local === 'srflx' || remote === 'srflx' ? `directly through a NAT, ${over}` : `directly, ${over}`;
}

const labelOf = (phase: Phase, roundTripMs: number | undefined): string => {
  switch (phase) {
    case 'connected':
      return roundTripMs === undefined ? 'encrypted' : ms(roundTripMs);
    case 'recovering':
      return 'recovering';
    case 'connecting':
    case 'idle':
    case 'closed':
    case 'failed':
      return '';
  }
};
