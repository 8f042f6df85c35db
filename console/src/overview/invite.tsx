import { useState } from 'preact/hooks';
import { SettledButton } from '../consent/button.tsx';
import { home } from '../place.ts';
import { Line, Text } from '../view/text.tsx';
import { Life, lives } from './life.tsx';
import type { MadeInvitation } from './invitations.ts';
import type { Operator } from './operator.ts';

/** Makes invitations, lists those that were made here, and takes them back. */
export function Invite({ operator }: { operator: Operator }) {
  const [room, setRoom] = useState('');
  const [name, setName] = useState('');
  const [role, setRole] = useState<'server' | 'client'>('server');
  const [ttl, setTtl] = useState<number>(lives.day);
  const [newest, setNewest] = useState<MadeInvitation>();
  const [wrong, setWrong] = useState('');
  const fail = (error: unknown): void => setWrong((error as Error).message);
  const make = async (): Promise<void> => {
    setNewest(undefined);
    setWrong('');
    await operator.invitations.make({ room: room.trim(), role, name: name.trim(), ttl }).then(setNewest, fail);
  };
  return (
    <section class="card" aria-label="Invitations">
      <h2>Invitations</h2>
      <p class="muted">
        One string with all that a peer needs: the relay, a token, and a secret by which both ends verify each other.
        This page comes from the relay, which could keep that secret: to rule it out, use “mcp-rendezvous invite”.
      </p>
      <form
        aria-label="Make an invitation"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <div class="field">
          <label for="invite-room">Room of the invitation</label>
          <input
            id="invite-room"
            required
            maxLength={128}
            value={room}
            onInput={(event) => setRoom(event.currentTarget.value)}
          />
          <small>Peers with the same room meet: one server, and any number of clients.</small>
        </div>
        <div class="field">
          <label for="invite-name">Name</label>
          <input id="invite-name" maxLength={64} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          <small>What the person who gets it sees. Optional.</small>
        </div>
        <div class="row">
          <select
            aria-label="For whom"
            value={role}
            onChange={({ currentTarget }) => setRole(currentTarget.value as typeof role)}
          >
            <option value="server">for a server</option>
            <option value="client">for a client</option>
          </select>
          <Life value={ttl} onchange={setTtl} />
          <button type="submit">Invite</button>
        </div>
        {wrong && (
          <small class="wrong" role="alert">
            {wrong}
          </small>
        )}
      </form>
      {newest && (
        <>
          <Text
            text={
              newest.role === 'server'
                ? `npx mcp-rendezvous expose ${newest.invitation} -- npx -y @modelcontextprotocol/server-everything`
                : `npx mcp-rendezvous connect ${newest.invitation}`
            }
            label="Command with the invitation"
          />
          <details>
            <summary>For a browser</summary>
            <Text text={`${home}#${newest.invitation}`} label="Link with the invitation" />
          </details>
        </>
      )}
      <h3>Made in this page</h3>
      {operator.invitations.made.value.length === 0 ? (
        <p class="empty">None yet. The relay keeps no list: reload the page, and it is empty.</p>
      ) : (
        <ul class="plain made">
          {operator.invitations.made.value.map((made) => (
            <Row
              key={made.id}
              made={made}
              state={stateOf(made, operator)}
              onrevoke={() => void operator.invitations.revoke(made.id).catch(fail)}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

interface RowProps {
  made: MadeInvitation;
  state: string;
  onrevoke: () => void;
}

const Row = ({ made: { id, room, role, name, expiresAt, revoked }, state, onrevoke }: RowProps) => (
  <li class="row">
    <span class="grow">
      <strong>
        <Line most={64}>{name}</Line>
      </strong>{' '}
      <span class="muted">
        {role} of <Line most={40}>{room}</Line>, until {new Date(expiresAt * 1000).toLocaleString()}: {state}
      </span>
    </span>
    {!revoked && (
      <SettledButton
        class="danger"
        standsFor={`revoke ${id}`}
        label={`Revoke the invitation of ${name}`}
        onPress={onrevoke}
      >
        Revoke
      </SettledButton>
    )}
  </li>
);

function stateOf({ id, revoked, expiresAt }: MadeInvitation, operator: Operator): string {
  if (revoked) return 'revoked';
  if (expiresAt * 1000 < Date.now()) return 'expired';
  const user = [...operator.inside.value.values()].flatMap(({ peers }) => peers).find(({ jti }) => jti === id);
  return user ? `in use, ${user.state}` : 'not in use';
}
