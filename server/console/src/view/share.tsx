import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { describe } from '../mcp/connection.ts';
import { askForTrial, development, home, readToken } from '../place.ts';
import { Gate } from '../share/gate.ts';
import type { Serving, Visitor } from '../share/serve.ts';
import { Diagram, type Phase } from './diagram.tsx';
import { FailureCard } from './failure.tsx';
import { Qr } from './qr.tsx';
import { Line, ms, Text } from './text.tsx';
import { Recoveries, Timeline } from './timeline.tsx';
import { TokenForm } from './tokenform.tsx';

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

function Requests({ gate }: { gate: Gate }) {
  const [request, ...others] = gate.requests.value;
  if (!request) return null;
  return (
    <section class="ask" role="alertdialog" aria-label="A client asks" aria-describedby="request">
      <h2>May it?</h2>
      <p id="request">
        <strong>
          <Line most={80}>{request.peer.subject}</Line>
        </strong>{' '}
        wants to {request.what}.
      </p>
      <div class="row">
        <button type="button" class="primary" key={request.n} onClick={request.allow}>
          Allow once
        </button>
        <button type="button" onClick={request.deny}>
          Deny
        </button>
      </div>
      {others.length > 0 && <p class="muted">{others.length} more after this one.</p>}
    </section>
  );
}

/** A link to this console, and the token beside it: it would be logged and remembered if it were in the link. */
function Invitation({ token }: { token: string }) {
  return (
    <>
      <ol class="steps">
        <li>
          Open this console elsewhere:{' '}
          <a href={home} target="_blank" rel="noopener noreferrer">
            {home}
          </a>
        </li>
        <li>Paste this token there, and connect. It is a secret: whoever has it can call this tab’s tools.</li>
      </ol>
      <Text text={token} label="Token for a client" />
      <div class="qrs">
        <figure>
          <Qr text={home} label="The console’s address as a QR code" />
          <figcaption>1. the address</figcaption>
        </figure>
        <figure>
          <Qr text={token} label="The client’s token as a QR code" />
          <figcaption>2. the token</figcaption>
        </figure>
      </div>
    </>
  );
}

function VisitorRow({ visitor }: { visitor: Visitor }) {
  const [words, setWords] = useState('');
  useEffect(() => {
    const read = async (): Promise<void> => {
      const { localCandidateType, roundTripMs, protocol } = await visitor.stats();
      const way = localCandidateType === 'relay' ? 'through TURN' : 'directly';
      setWords(
        `${way}, over ${(protocol ?? 'udp').toUpperCase()}${roundTripMs === undefined ? '' : `, ${ms(roundTripMs)} away`}`,
      );
    };
    const timer = setInterval(() => void read().catch(() => setWords('')), 1000);
    return () => clearInterval(timer);
  }, [visitor.n]);
  return (
    <li>
      <span class={`dot-state ${visitor.state}`} aria-hidden="true" />{' '}
      <strong>
        <Line most={60}>{visitor.peer.subject}</Line>
      </strong>{' '}
      <span class="muted">
        {visitor.state} {words}
      </span>
    </li>
  );
}
