import { useEffect, useState } from 'preact/hooks';
import { hasAdmin } from '../place.ts';
import { Figure } from '../view/figures.tsx';
import { Charts } from './charts.tsx';
import { Issue, Revoke } from './forms.tsx';
import { Invite } from './invite.tsx';
import { sum } from './metrics.ts';
import { keyOf, Operator } from './operator.ts';
import { RoomCard } from './room.tsx';

/** The relay as its operator sees it. */
export function Overview() {
  const [operator, setOperator] = useState<Operator>();
  useEffect(() => () => operator?.stop(), [operator]);
  if (operator) return <Dashboard operator={operator} onclose={() => setOperator(undefined)} />;
  return (
    <>
      <section class="hero">
        <h1>Overview</h1>
        <p class="lead">Rooms, peers and rejections of this relay, for its operator.</p>
      </section>
      {hasAdmin ? (
        <SignIn onopen={setOperator} />
      ) : (
        <p class="card empty">
          This relay has no admin token. Start it with <code>ADMIN_TOKEN</code> to see it from here.
        </p>
      )}
    </>
  );
}

function SignIn({ onopen }: { onopen: (operator: Operator) => void }) {
  const [token, setToken] = useState('');
  const [wrong, setWrong] = useState('');
  const open = async (): Promise<void> => {
    const operator = new Operator(token.trim());
    await operator.start().then(
      () => onopen(operator),
      (error: unknown) => setWrong((error as Error).message),
    );
  };
  return (
    <form
      class="card token"
      onSubmit={(event) => {
        event.preventDefault();
        void open();
      }}
    >
      <div class="field">
        <label for="admin">Admin token</label>
        <div class="row">
          <input
            id="admin"
            type="password"
            class="grow"
            autoComplete="off"
            aria-describedby="admin-d"
            value={token}
            onInput={({ currentTarget }) => setToken(currentTarget.value)}
          />
          <button type="submit" class="primary" disabled={token.trim() === ''}>
            Open
          </button>
        </div>
        <small id="admin-d" class={wrong ? 'wrong' : ''} aria-live="polite">
          {wrong || 'The ADMIN_TOKEN of the relay. It stays in this page’s memory.'}
        </small>
      </div>
    </form>
  );
}

function Dashboard({ operator, onclose }: { operator: Operator; onclose: () => void }) {
  const metrics = operator.metrics.value;
  const rooms = operator.rooms.value;
  const instances = new Map<string, number>();
  for (const { instance } of [...operator.inside.value.values()].flatMap(({ peers }) => peers)) {
    instances.set(instance, (instances.get(instance) ?? 0) + 1);
  }
  return (
    <>
      <h1 class="hidden">Overview</h1>
      <section class="stage" aria-label="The relay">
        <div class="stage-head">
          <p class={`state ${operator.error.value ? 'failed' : 'connected'}`} role="status">
            {operator.error.value || 'Live'}
          </p>
          <button type="button" onClick={onclose}>
            Close
          </button>
        </div>
        <dl class="figures">
          <Figure
            name="Peers"
            value={String(sum(metrics, 'rendezvous_peers'))}
            detail={`${sum(metrics, 'rendezvous_sockets')} sockets`}
          />
          <Figure name="Rooms" value={String(sum(metrics, 'rendezvous_rooms'))} />
          <Figure name="Joins" value={String(sum(metrics, 'rendezvous_joins_total'))} detail="since it started" />
          <Figure name="Signals" value={String(sum(metrics, 'rendezvous_signals_total'))} detail="since it started" />
        </dl>
        <Charts readings={operator.history.readings.value} />
        <p class="muted">
          These figures are of the instance that answered; the rooms below are of all instances.
          {instances.size > 0 &&
            ` Their peers are on: ${[...instances].map(([id, count]) => `${id} (${count})`).join(', ')}.`}{' '}
          Paths are what clients report: data that goes directly or through TURN never passes the relay.
        </p>
        <details>
          <summary>What the words mean</summary>
          <dl class="facts terms">
            <dt>Room</dt>
            <dd>Peers with the same room are introduced to each other: one server, and its clients.</dd>
            <dt>Peer</dt>
            <dd>One program that is connected to the relay. Its token says its room, role and subject.</dd>
            <dt>Subject</dt>
            <dd>Who the holder of a token is. Several tokens may have the same one.</dd>
            <dt>Away</dt>
            <dd>The peer lost its connection to the relay, and may come back. Its session may go on meanwhile.</dd>
            <dt>Signal</dt>
            <dd>A message by which two peers find a path to each other. It is no MCP message.</dd>
            <dt>Relayed data</dt>
            <dd>Encrypted MCP messages of peers that have no better path. The relay cannot read them.</dd>
            <dt>Path</dt>
            <dd>
              Over what the data of a session goes, as its client reports it: direct, through a TURN server, or relayed
              by this relay. Not known: the client has no session, or an earlier version that does not report.
            </dd>
            <dt>Last error</dt>
            <dd>
              Why the relay last rejected or closed a peer with this subject, or why its session failed, as the client
              reports it.
            </dd>
          </dl>
        </details>
      </section>
      <div class="columns wide-left">
        <section aria-label="Rooms">
          <h2 class="big-head">Rooms</h2>
          {rooms.length === 0 && <p class="card empty">No peer is online.</p>}
          {rooms.map((room) => (
            <RoomCard
              key={keyOf(room)}
              room={room}
              inside={operator.inside.value.get(keyOf(room))}
              operator={operator}
            />
          ))}
          {operator.more.value && <p class="muted">There are more rooms: GET /v1/rooms has all of them.</p>}
        </section>
        <div>
          <section class="card" aria-label="Recent rejections">
            <h2>Recent rejections</h2>
            {operator.refused.value.length === 0 ? (
              <p class="empty">None since you opened this.</p>
            ) : (
              <div role="log" aria-label="Rejections, newest last" tabIndex={0} class="scroll-log">
                <ol class="calls">
                  {operator.refused.value.map(({ n, at, why, times }) => (
                    <li key={n}>
                      <time>{new Date(at).toLocaleTimeString()}</time> <code>{why}</code> {times > 1 && `× ${times}`}
                    </li>
                  ))}
                </ol>
              </div>
            )}
          </section>
          <Invite operator={operator} />
          <Revoke operator={operator} />
          <Issue operator={operator} />
        </div>
      </div>
    </>
  );
}
