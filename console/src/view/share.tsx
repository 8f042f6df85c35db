import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { describe } from '../mcp/connection.ts';
import { askForTrial, development, readToken } from '../place.ts';
import { Gate } from '../share/gate.ts';
import type { Serving, Visitor } from '../share/serve.ts';
import { Diagram, type Phase } from './diagram.tsx';
import { FailureCard } from './failure.tsx';
import { Invitation } from './invitation.tsx';
import { Requests } from './permission.tsx';
import { Line } from './text.tsx';
import { Recoveries, Timeline } from './timeline.tsx';
import { TokenForm } from './tokenform.tsx';
import { VisitorRow } from './visitor.tsx';

interface Sharing {
  serving: Serving;
  gate: Gate;
  room: string;
  /** A client's token, where this page may make one. */
  invitation: string | undefined;
}

/** This tab as an MCP server. */
export function Share() {
  const [sharing, setSharing] = useState<Sharing>();
  const busy = useSignal(false);
  const wrong = useSignal('');
  useEffect(() => () => void sharing?.serving.close(), [sharing]);

  const share = async (token: string, secret: string | undefined, invitation?: string): Promise<void> => {
    busy.value = true;
    const [{ Serving }, { createTabServer }] = await Promise.all([
      import('../share/serve.ts'),
      import('../share/tab.ts'),
    ]);
    const serving = new Serving();
    const gate = new Gate();
    setSharing({ serving, gate, room: readToken(token)?.room ?? '', invitation });
    await serving
      .open(token, secret, (peer) => createTabServer(peer, gate))
      .catch((error: unknown) => {
        serving.journal.fail(...describe(error));
        serving.state.value = 'closed';
      });
    busy.value = false;
  };
  const shareTrial = async (): Promise<void> => {
    try {
      const { server, client } = await askForTrial();
      await share(server, undefined, client);
    } catch (error) {
      wrong.value = (error as Error).message;
      busy.value = false;
    }
  };

  if (sharing) return <Shared sharing={sharing} onclose={() => setSharing(undefined)} />;
  return (
    <>
      <section class="hero">
        <h1>Share this tab</h1>
        <p class="lead">
          It becomes an MCP server: its clock, its clipboard, its camera, its location and files that you pick. Except
          for the clock and the page’s own data, you are asked each time that a client calls.
          {!isSecureContext &&
            ' Over plain http, as here, browsers keep the clipboard, the camera and the location to themselves.'}
        </p>
        {development && (
          <button type="button" class="primary big" disabled={busy.value} onClick={() => void shareTrial()}>
            Share this tab
          </button>
        )}
        {wrong.value && (
          <p class="wrong" role="alert">
            {wrong.value}
          </p>
        )}
      </section>
      <TokenForm
        role="server"
        submit="Share"
        busy={busy.value}
        onsubmit={({ token, secret }) => void share(token, secret)}
      />
    </>
  );
}

function Shared({ sharing: { serving, gate, room, invitation }, onclose }: { sharing: Sharing; onclose: () => void }) {
  const { journal } = serving;
  const visitors = serving.visitors.value;
  const failure = journal.failure.value;
  const newest = visitors.at(-1);
  const phase = phaseOf(serving, newest);
  const caption = captionOf(serving, visitors.length, room);
  return (
    <>
      <h1 class="hidden">Shared tab</h1>
      <section class="stage" aria-label="Shared tab">
        <div class="stage-head">
          <p class={`state ${phase}`} role="status">
            {caption}
          </p>
          <button type="button" onClick={onclose}>
            Stop sharing
          </button>
        </div>
        <Diagram
          phase={phase}
          here={{ title: 'This tab', detail: 'MCP server' }}
          there={{
            title: visitors.length > 1 ? `${visitors.length} clients` : (newest?.peer.subject ?? 'A client'),
            detail: newest ? 'MCP client' : 'not here yet',
          }}
          path={undefined}
          label={phase === 'connected' ? 'encrypted' : ''}
          caption={caption}
          journal={journal}
          done={newest ? journal.steps.value : pick(journal.steps.value)}
          failedAt={failure?.step}
        />
        {failure && <FailureCard failure={failure} />}
        {visitors.length > 0 && (
          <details class="depth">
            <summary>Timeline</summary>
            <Timeline journal={journal} />
          </details>
        )}
        <Recoveries journal={journal} />
      </section>
      <Requests gate={gate} />
      <div class="columns">
        <section class="card" aria-label="Invitation">
          <h2>Let a client in</h2>
          {invitation ? (
            <Invitation token={invitation} />
          ) : (
            <p>Clients need a token with the role “client” for this room.</p>
          )}
        </section>
        <section class="card" aria-label="Clients and calls">
          <h2>Clients</h2>
          {visitors.length === 0 ? (
            <p class="empty">Nobody is here yet.</p>
          ) : (
            <ul class="plain">
              {visitors.map((visitor) => (
                <VisitorRow key={visitor.n} visitor={visitor} />
              ))}
            </ul>
          )}
          <h2>Calls</h2>
          {gate.records.value.length === 0 ? (
            <p class="empty">No tool was called yet.</p>
          ) : (
            <div role="log" aria-label="Calls, newest last" tabIndex={0} class="scroll-log">
              <ol class="calls">
                {gate.records.value.slice(-30).map(({ n, at, subject, tool, outcome }) => (
                  <li key={n}>
                    <time>{new Date(at).toLocaleTimeString()}</time> <code>{tool}</code>{' '}
                    <span class="muted">
                      by <Line most={60}>{subject}</Line>
                    </span>{' '}
                    <span class={`outcome-${outcome}`}>{outcome}</span>
                  </li>
                ))}
              </ol>
            </div>
          )}
        </section>
      </div>
    </>
  );
}

function phaseOf(serving: Serving, newest: Visitor | undefined): Phase {
  if (serving.journal.failure.value) return 'failed';
  if (serving.state.value === 'closed') return 'closed';
  if (!newest || newest.state === 'connecting') return 'connecting';
  return newest.state === 'recovering' ? 'recovering' : 'connected';
}

function captionOf(serving: Serving, clients: number, room: string): string {
  if (serving.journal.failure.value) return 'Not shared';
  switch (serving.state.value) {
    case 'joining':
      return 'Joining the room';
    case 'closed':
      return 'Not shared any more';
    case 'open':
      return clients === 0
        ? `Shared in room ${room}, waiting for a client`
        : `Shared with ${clients === 1 ? 'one client' : `${clients} clients`}`;
  }
}

/** Nobody is here: only the way to the relay is done. */
function pick({ relay, room }: Serving['journal']['steps']['value']) {
  return { ...(relay !== undefined && { relay }), ...(room !== undefined && { room }) };
}
