import { useEffect, useState } from 'preact/hooks';
import { hasAdmin } from '../place.ts';
import { Figure } from '../view/figures.tsx';
import { sum } from './metrics.ts';
import { Issue, Revoke } from './forms.tsx';
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
        <p class="lead">Rooms, peers and refusals of this relay, for its operator.</p>
      </section>
      {hasAdmin ? (
        <SignIn onopen={setOperator} />
      ) : (
        <p class="card empty">
          This relay has no operator’s token. Start it with <code>ADMIN_TOKEN</code> to see it from here.
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
        <label for="admin">Operator’s token</label>
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
          {wrong || 'What the relay was started with as ADMIN_TOKEN. It stays in this page’s memory.'}
        </small>
      </div>
    </form>
  );
}

function Dashboard({ operator, onclose }: { operator: Operator; onclose: () => void }) {
  const metrics = operator.metrics.value;
  const rooms = operator.rooms.value;
  const instances = new Map<string, number>();
  for (const { instance } of [...operator.residents.value.values()].flat()) {
    instances.set(instance, (instances.get(instance) ?? 0) + 1);
  }
  const { joins, signals } = operator.rates.value;
  const rate = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;
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
            name="Peers here"
            value={String(sum(metrics, 'rendezvous_peers'))}
            detail={`${sum(metrics, 'rendezvous_sockets')} sockets`}
          />
          <Figure name="Rooms here" value={String(sum(metrics, 'rendezvous_rooms'))} />
          <Figure name="Joins" value={rate(joins)} detail={`${sum(metrics, 'rendezvous_joins_total')} in all`} />
          <Figure name="Signals" value={rate(signals)} detail={`${sum(metrics, 'rendezvous_signals_total')} in all`} />
        </dl>
        <p class="muted">
          “Here” is the instance that answered.{' '}
          {instances.size > 0 &&
            `Peers of the rooms below are on: ${[...instances].map(([id, count]) => `${id} (${count})`).join(', ')}.`}
        </p>
      </section>
      <div class="columns wide-left">
        <section aria-label="Rooms">
          <h2 class="big-head">Rooms</h2>
          {rooms.length === 0 && <p class="card empty">Nobody is in any room.</p>}
          {rooms.map((room) => (
            <RoomCard
              key={keyOf(room)}
              room={room}
              residents={operator.residents.value.get(keyOf(room))}
              operator={operator}
            />
          ))}
          {operator.more.value && <p class="muted">There are more rooms: GET /v1/rooms has all of them.</p>}
        </section>
        <div>
          <section class="card" aria-label="Recent refusals">
            <h2>Recent refusals</h2>
            {operator.refused.value.length === 0 ? (
              <p class="empty">None since you opened this.</p>
            ) : (
              <div role="log" aria-label="Refusals, newest last" tabIndex={0} class="scroll-log">
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
          <Revoke operator={operator} />
          <Issue operator={operator} />
        </div>
      </div>
    </>
  );
}
