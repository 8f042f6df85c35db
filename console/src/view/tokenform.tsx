import { useId, useState } from 'preact/hooks';
import { readToken } from '../place.ts';

export interface Given {
  token: string;
  secret: string | undefined;
  relayOnly: boolean;
}

interface TokenFormProps {
  /** The role that is wanted here. */
  role: 'client' | 'server';
  submit: string;
  busy: boolean;
  onsubmit: (given: Given) => void;
}

const elsewhere = {
  client: 'This is a server’s token: paste it under “Share this tab”.',
  server: 'This is a client’s token: paste it under “Connect”.',
};

/** What `mcp-rendezvous secret` prints; the SDK also checks that nothing in it is mistyped. */
const secretForm = /^mcps1[\w-]{49}$/;

function secretAdvice(bad: boolean): string {
  if (!isSecureContext)
    return 'Not over plain http: browsers give a page the cryptography for it over https and on localhost only.';
  if (bad)
    return 'This is not an end-to-end secret. Make one with “mcp-rendezvous secret”, and paste all of it on both sides.';
  return 'The same on both sides, made by “mcp-rendezvous secret”: then not even the relay could sit in between.';
}

/** Where a token is pasted. Its fields have no name, so that no form could ever put them into an address. */
export function TokenForm({ role, submit, busy, onsubmit }: TokenFormProps) {
  const id = useId();
  const [token, setToken] = useState('');
  const [secret, setSecret] = useState('');
  const [relayOnly, setRelayOnly] = useState(false);
  const typed = token.trim();
  const claims = readToken(typed);
  const fits = claims?.role === role;
  const typedSecret = secret.trim();
  const badSecret = typedSecret !== '' && !secretForm.test(typedSecret);
  const ready = fits && !badSecret;
  const says = (): string => {
    if (typed === '') return `From your backend: a room token with the role “${role}”. It stays in this page’s memory.`;
    if (!claims) return 'This is not a room token: three parts, separated by dots.';
    if (!fits) return elsewhere[role];
    const ends = claims.expiresAt === undefined ? '' : `, until ${new Date(claims.expiresAt * 1000).toLocaleString()}`;
    return `As ${claims.subject} in room ${claims.room}${ends}.`;
  };
  return (
    <form
      class="card token"
      autoComplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) onsubmit({ token: typed, secret: typedSecret || undefined, relayOnly });
      }}
    >
      <div class="field">
        <label for={id}>Room token</label>
        <div class="row">
          <input
            id={id}
            type="password"
            class="grow"
            autoComplete="off"
            spellcheck={false}
            placeholder="Paste a token"
            aria-describedby={`${id}-d`}
            value={token}
            onInput={({ currentTarget }) => setToken(currentTarget.value)}
          />
          <button type="submit" class="primary" disabled={!ready || busy}>
            {submit}
          </button>
        </div>
        <small id={`${id}-d`} class={typed !== '' && !fits ? 'wrong' : ''} aria-live="polite">
          {says().slice(0, 400)}
        </small>
      </div>
      <details>
        <summary>More</summary>
        <div class="field">
          <div class="field-head">
            <label for={`${id}-s`}>End-to-end secret</label>
            <span class="optional">optional</span>
          </div>
          <input
            id={`${id}-s`}
            type="password"
            autoComplete="off"
            disabled={!isSecureContext}
            spellcheck={false}
            placeholder="mcps1…"
            aria-describedby={`${id}-sd`}
            value={secret}
            onInput={({ currentTarget }) => setSecret(currentTarget.value)}
          />
          <small id={`${id}-sd`} class={badSecret ? 'wrong' : ''} aria-live="polite">
            {secretAdvice(badSecret)}
          </small>
        </div>
        {role === 'client' && (
          <label class="check">
            <input
              type="checkbox"
              checked={relayOnly}
              onChange={({ currentTarget }) => setRelayOnly(currentTarget.checked)}
            />
            <span>
              Only through TURN <small>so that the peers do not learn each other’s addresses</small>
            </span>
          </label>
        )}
      </details>
    </form>
  );
}
