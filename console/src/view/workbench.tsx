import type { Path } from 'mcp-rendezvous';
import { useEffect, useState } from 'preact/hooks';
import { isAppOpen } from '../apps/open.ts';
import type { Connection } from '../mcp/connection.ts';
import { isHopeless } from '../observe/advice.ts';
import { type Journal, stepLabels } from '../observe/journal.ts';
import type { CandidatePair } from '../observe/meter.ts';
import type { Drills } from '../share/drill.ts';
import type { Serving } from '../share/serve.ts';
import { Asks } from './asks.tsx';
import { Diagram, type Phase } from './diagram.tsx';
import { Failures } from './drills.tsx';
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
  /** The demonstration's other end, which is in this page, and what can be done to it. */
  demo: Demo | undefined;
  onclose: () => void;
  onagain: () => void;
}

export interface Demo {
  serving: Serving;
  drills: Drills;
}

/** One connection: drawn, measured, and used. */
export function Workbench({ connection, demo, onclose, onagain }: WorkbenchProps) {
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
  const path = journal.path.value;
  const selected = path === 'relayed' ? undefined : meter.selected;
  const roundTripMs = meter.samples.value.at(-1)?.roundTripMs;
  const caption = captionOf(phase, journal, selected, roundTripMs);
  const over = phase === 'failed' || phase === 'closed';
  const hopeless = failure !== undefined && isHopeless(failure.code);
  const versions = failure?.code === 'unsupported_version';

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
            {over && !hopeless && (
              <button type="button" class="primary" onClick={onagain}>
                Try again
              </button>
            )}
            {over ? (
              <button type="button" class={hopeless ? 'primary' : ''} onClick={onclose}>
                {!hopeless ? 'Back' : versions ? 'Choose another version' : 'Use another token or invitation'}
              </button>
            ) : (
              <button type="button" onClick={() => connection.close()}>
                Disconnect
              </button>
            )}
          </div>
        </div>
        <Diagram
          phase={phase}
          here={{ title: 'This page', detail: 'MCP client' }}
          there={{
            title: info ? (info.title ?? info.name) : demo ? 'This page, too' : (peer?.subject ?? 'The other peer'),
            detail: demo ? 'MCP server, in this page' : peer ? `MCP server, ${peer.subject}` : 'MCP server',
          }}
          path={path}
          candidates={selected && { local: selected.local.type, remote: selected.remote.type }}
          relay={journal.relay.value}
          label={labelOf(phase, roundTripMs)}
          caption={caption}
          journal={journal}
          done={journal.steps.value}
          failedAt={failure?.step}
        />
        {failure && <FailureCard failure={failure} />}
        {session && peer && !over && (
          <p class="muted vouched">
            {peer.verified
              ? `${peer.subject} is verified by its secret: no relay can be in between.`
              : `The relay vouches for ${peer.subject}. By an invitation, or with a secret, both ends verify each other.`}
          </p>
        )}
        {demo && session && <Failures drills={demo.drills} connection={connection} serving={demo.serving} />}
        <details class="depth" open={phase === 'failed' || phase === 'connecting'}>
          <summary>Timeline and network paths</summary>
          {!(failure && meter.samples.value.length === 0) && <Figures meter={meter} />}
          <div class="columns">
            <section aria-label="Timeline">
              <h2>From the click to the first answer</h2>
              <Timeline journal={journal} />
            </section>
            <section aria-label="Network paths">
              <h2>Candidate pairs</h2>
              <Pairs meter={meter} relayed={path === 'relayed'} />
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
      {session && !isAppOpen.value && <Asks session={session} />}
    </>
  );
}

function phaseOf({ state, journal, session }: Connection): Phase {
  if (journal.failure.value) return 'failed';
  if (state.value === 'closed') return 'closed';
  if (state.value === 'recovering') return 'recovering';
  return session.value ? 'connected' : 'connecting';
}

function captionOf(
  phase: Phase,
  { current, path, relay, failure }: Journal,
  pair: CandidatePair | undefined,
  roundTripMs: number | undefined,
): string {
  switch (phase) {
    case 'idle':
      return 'Not connected';
    case 'connecting':
      if (current === 'peer')
        return 'Connecting: meet the other peer. No server is online in this room yet; start it, and this goes on';
      return current ? `Connecting: ${stepLabels[current].toLowerCase()}` : 'Connecting';
    case 'connected': {
      const away = roundTripMs === undefined ? '' : `, ${ms(roundTripMs)} away`;
      const offline = relay.value === 'offline' ? '. The relay is offline' : '';
      return `Connected ${pathWords(path.value, pair)}${away}${offline}`;
    }
    case 'recovering':
      return 'There is no path at the moment. Messages are queued while one is found';
    case 'closed':
      return 'Disconnected';
    case 'failed':
      return `Failed at: ${stepLabels[failure.value?.step ?? 'relay'].toLowerCase()}`;
  }
}

function pathWords(path: Path | undefined, pair: CandidatePair | undefined): string {
  const over = pair ? `, over ${pair.local.protocol.toUpperCase()}` : '';
  switch (path) {
    case 'relayed':
      return 'through the relay, encrypted end to end';
    case 'turn':
      return `through a TURN server${over}`;
    case 'direct': {
      const nat = pair?.local.type === 'srflx' || pair?.remote.type === 'srflx';
      return `directly${nat ? ' through a NAT' : ''}${over}`;
    }
    case undefined:
      return '';
  }
}

const labelOf = (phase: Phase, roundTripMs: number | undefined): string => {
  switch (phase) {
    case 'connected':
      return roundTripMs === undefined ? 'encrypted' : ms(roundTripMs);
    case 'recovering':
      return 'no path';
    case 'connecting':
    case 'idle':
    case 'closed':
    case 'failed':
      return '';
  }
};
