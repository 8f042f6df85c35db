import { useState } from 'preact/hooks';
import { SettledButton } from '../consent/button.tsx';
import { relay } from '../place.ts';
import { Text } from '../view/text.tsx';
import { Life, lives } from './life.tsx';
import type { Operator } from './operator.ts';

/** Refuses tokens from now on: one, those of a subject, or those of a room. */
export function Revoke({ operator }: { operator: Operator }) {
  const [by, setBy] = useState<'jti' | 'sub' | 'room'>('sub');
  const [value, setValue] = useState('');
  const [says, setSays] = useState('');
  const revoke = async (): Promise<void> =>
    setSays(
      await operator.revoke(by, value, '').then(
        ({ until, removed }) =>
          `Revoked until ${new Date(until * 1000).toLocaleString()}. ${removed} ${removed === 1 ? 'peer was' : 'peers were'} removed.`,
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
        {/* What is revoked is what the operator typed, so that only the place can change without them. */}
        <SettledButton class="danger" standsFor="revoke">
          Revoke
        </SettledButton>
      </div>
      <small role="status">{says}</small>
    </form>
  );
}

/** Signs a token, where the relay has the key for it. */
export function Issue({ operator }: { operator: Operator }) {
  const [room, setRoom] = useState('');
  const [role, setRole] = useState('client');
  const [subject, setSubject] = useState('');
  const [token, setToken] = useState('');
  const [ttl, setTtl] = useState<number>(lives.day);
  const [wrong, setWrong] = useState('');
  const issue = async (): Promise<void> => {
    setToken('');
    setWrong('');
    await operator
      .issueToken({ room, role, sub: subject, ttl })
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
      <p class="muted">For a program that connects without an invitation, and so without a secret of its own.</p>
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
        <Life value={ttl} onchange={setTtl} />
        <button type="submit">Issue</button>
      </div>
      {wrong && (
        <small class="wrong" role="alert">
          {wrong}
        </small>
      )}
      {token && (
        <>
          <Text text={token} label="The new token" />
          <Text text={commandFor(role, token)} label="Command line" />
        </>
      )}
    </form>
  );
}

const commandFor = (role: string, token: string): string =>
  `MCP_RENDEZVOUS_RELAY=${relay} MCP_RENDEZVOUS_TOKEN=${token} npx mcp-rendezvous ${role === 'server' ? 'expose -- npx -y @modelcontextprotocol/server-everything' : 'connect'}`;
