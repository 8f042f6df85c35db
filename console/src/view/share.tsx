import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { createInvitation, createSecret } from 'mcp-rendezvous/token';
import { opened as inAddress } from '../invite/address.ts';
import { readInvitation } from '../invite/read.ts';
import { type Access, describe } from '../mcp/connection.ts';
import { askForTrial, development, readToken, relay } from '../place.ts';
import { Gate } from '../share/gate.ts';
import type { Serving, Visitor } from '../share/serve.ts';
import { Diagram, type Phase } from './diagram.tsx';
import { FailureCard } from './failure.tsx';
import { InvitationCard } from './invitationcard.tsx';
import { Invite } from './invite.tsx';
import { Requests } from './permission.tsx';
import { Line } from './text.tsx';
import { Recoveries, Timeline } from './timeline.tsx';
import { TokenForm } from './tokenform.tsx';
import { VisitorRow } from './visitor.tsx';

interface Sharing {
  serving: Serving;
  gate: Gate;
  room: string;
  /** Undefined: this page cannot invite, as it has no invitation itself. */
  invited: boolean;
}

/** This tab as an MCP server. */
export function Share() {
  const [sharing, setSharing] = useState<Sharing>();
  const busy = useSignal(false);
  const wrong = useSignal('');
  const [pasted, setPasted] = useState<string>();
  useEffect(() => () => void sharing?.serving.close(), [sharing]);

  const share = async (access: Access, room: string): Promise<void> => {
    busy.value = true;
    const [{ Serving }, { createTabServer }] = await Promise.all([
      import('../share/serve.ts'),
      import('../share/tab.ts'),
    ]);
    const serving = new Serving();
    const gate = new Gate();
    setSharing({ serving, gate, room, invited: 'invitation' in access });
    await serving
      .open(access, (peer) => createTabServer(peer, gate))
      .catch((error: unknown) => {
        serving.journal.fail(...describe(error));
        serving.state.value = 'closed';
      });
    busy.value = false;
  };
  const shareTrial = async (): Promise<void> => {
    try {
      const { server, room } = await askForTrial();
      // The root of the secrets is made here, so that not even the relay has it.
      const invitation = createInvitation({ relay, token: server, secret: createSecret(), name: 'A shared tab' });
      await share({ invitation }, room);
    } catch (error) {
      wrong.value = (error as Error).message;
      busy.value = false;
    }
  };
  const text = pasted ?? inAddress.value;
  const dismiss = (): void => {
    setPasted(undefined);
    inAddress.value = undefined;
  };

  if (sharing) return <Shared sharing={sharing} onclose={() => setSharing(undefined)} />;
  if (text !== undefined) {
    return (
      <InvitationCard
        text={text}
        role="server"
        onaccept={(invitation) => {
          dismiss();
          void share({ invitation }, readInvitation(invitation).invitation?.room ?? '');
        }}
        ondismiss={dismiss}
      />
    );
  }
  return (
    <>
      <section class="hero">
        <h1>Share this tab</h1>
        <p class="lead">
          It becomes an MCP server: its clock, its clipboard, its camera, its location and files that you pick. Except
          for the clock and the page’s own data, you are asked each time that a client calls.
          {!isSecureContext && ' Over plain http, browsers block the clipboard, the camera and the location.'}
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
        onsubmit={({ token, secret }) => void share({ token, secret }, readToken(token)?.room ?? '')}
        oninvitation={setPasted}
      />
    </>
  );
}

function Shared({ sharing: { serving, gate, room, invited }, onclose }: { sharing: Sharing; onclose: () => void }) {
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
            detail: newest ? 'MCP client' : 'not available',
          }}
          path={newest && journal.path.value}
          relay={journal.relay.value}
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
          {invited ? (
            serving.state.value === 'open' && <Invite serving={serving} />
          ) : (
            <p>
              Clients need a token with the role “client” for this room. To invite them from here, share this tab by an
              invitation: “mcp-rendezvous invite --role server” makes one.
            </p>
          )}
        </section>
        <section class="card" aria-label="Clients and calls">
          <h2>Clients</h2>
          {visitors.length === 0 ? (
            <p class="empty">No client is connected yet.</p>
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
      return 'No longer shared';
    case 'open':
      return clients === 0
        ? `Shared in room ${room}, waiting for a client`
        : `Shared with ${clients === 1 ? 'one client' : `${clients} clients`}`;
  }
}

/** Nobody is here: only the way to the relay is done. */
const pick = ({ relay: reached, room }: Serving['journal']['steps']['value']) => ({
  ...(reached !== undefined && { relay: reached }),
  ...(room !== undefined && { room }),
});
