import { useEffect, useState } from 'preact/hooks';
import { hasAdmin } from '../place.ts';
import { Figure } from '../view/figures.tsx';
import { useNotice } from '../view/notice.tsx';
import { Line, Text } from '../view/text.tsx';
import { sum } from './metrics.ts';
import { keyOf, Operator, type Resident, type Room } from './operator.ts';

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

interface RoomCardProps {
  room: Room;
  residents: Resident[] | undefined;
  operator: Operator;
}

function RoomCard({ room, residents, operator }: RoomCardProps) {
  const notice = useNotice();
  const act = async (work: Promise<unknown>, done: string): Promise<void> => {
    try {
      await work;
      notice(done);
    } catch (error) {
      notice((error as Error).message);
    }
  };
  return (
    <article class="card" aria-label={`Room ${room.room}`}>
      <header>
        <h2>
          <Line>{room.room}</Line>
        </h2>
        {room.issuer && (
          <span class="tag">
            <Line>{room.issuer}</Line>
          </span>
        )}
        <span class="muted">
          server {room.server ?? 'absent'}, {room.clients} {room.clients === 1 ? 'client' : 'clients'}
        </span>
      </header>
      {residents && residents.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Peers of ${room.room}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Peer</th>
                <th scope="col">Role</th>
                <th scope="col">State</th>
                <th scope="col">Instance</th>
                <th scope="col">Since</th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {residents.slice(0, 50).map(({ id, role, state, sub, jti, since, instance }) => (
                <tr key={id}>
                  <td>
                    <Line most={60}>{sub}</Line>
                  </td>
                  <td>{role}</td>
                  <td>{state}</td>
                  <td>
                    <code>{instance}</code>
                  </td>
                  <td>{new Date(since * 1000).toLocaleTimeString()}</td>
                  <td>
                    <div class="row">
                      <button
                        type="button"
                        aria-label={`Kick ${sub}`}
                        onClick={() => void act(operator.kick(room, id), `${sub} was removed.`)}
                      >
                        Kick
                      </button>
                      <button
                        type="button"
                        class="danger"
                        aria-label={`Revoke the tokens of ${sub}`}
                        onClick={() =>
                          void act(
                            jti === undefined
                              ? operator.revoke('sub', sub, room.issuer)
                              : operator.revoke('jti', jti, room.issuer),
                            `The token of ${sub} is revoked.`,
                          )
                        }
                      >
                        Revoke
                      </button>
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </article>
  );
}

function Revoke({ operator }: { operator: Operator }) {
  const [by, setBy] = useState<'jti' | 'sub' | 'room'>('sub');
  const [value, setValue] = useState('');
  const [says, setSays] = useState('');
  const revoke = async (): Promise<void> =>
    setSays(
      await operator.revoke(by, value, '').then(
        (removed) => `Revoked for 24 hours. ${removed} ${removed === 1 ? 'peer was' : 'peers were'} removed.`,
        (error: unknown) => (error as Error).message,
      ),
    );
  return (
    <form
      class="card"
      aria-label="Revoke tokens"
      onSubmit={(event) => {
        event.preventDefault();
        void revoke();
      }}
    >
      <h2>Revoke tokens</h2>
      <div class="row">
        <select
          aria-label="Revoke by"
          value={by}
          onChange={({ currentTarget }) => setBy(currentTarget.value as typeof by)}
        >
          <option value="sub">subject</option>
          <option value="jti">token (jti)</option>
          <option value="room">room</option>
        </select>
        <input
          class="grow"
          aria-label="Which"
          required
          value={value}
          onInput={({ currentTarget }) => setValue(currentTarget.value)}
        />
        <button type="submit" class="danger">
          Revoke
        </button>
      </div>
      <small role="status">{says}</small>
    </form>
  );
}

function Issue({ operator }: { operator: Operator }) {
  const [room, setRoom] = useState('');
  const [role, setRole] = useState('client');
  const [subject, setSubject] = useState('');
  const [token, setToken] = useState('');
  const [wrong, setWrong] = useState('');
  const issue = async (): Promise<void> => {
    setToken('');
    setWrong('');
    await operator
      .issueToken(room, role, subject, '1h')
      .then(setToken, (error: unknown) => setWrong((error as Error).message));
  };
  return (
    <form
      class="card"
      aria-label="Issue a token"
      onSubmit={(event) => {
        event.preventDefault();
        void issue();
      }}
    >
      <h2>Issue a token</h2>
      <div class="field">
        <label for="issue-room">Room</label>
        <input id="issue-room" required value={room} onInput={({ currentTarget }) => setRoom(currentTarget.value)} />
      </div>
      <div class="field">
        <label for="issue-subject">Subject</label>
        <input
          id="issue-subject"
          required
          value={subject}
          onInput={({ currentTarget }) => setSubject(currentTarget.value)}
        />
      </div>
      <div class="row">
        <select aria-label="Role" value={role} onChange={({ currentTarget }) => setRole(currentTarget.value)}>
          <option>client</option>
          <option>server</option>
        </select>
        <button type="submit">Issue for one hour</button>
      </div>
      {wrong && (
        <small class="wrong" role="alert">
          {wrong}
        </small>
      )}
      {token && <Text text={token} label="The new token" />}
    </form>
  );
}
