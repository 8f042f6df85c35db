import type { ComponentChildren } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import { looksLikeInvitation, readInvitation } from '../invite/read.ts';
import { ownAudience, readToken, relayNow, type TokenClaims } from '../place.ts';
import { canScan, Scanner } from './scanner.tsx';
import { ago } from './text.tsx';

export interface Given {
  token: string;
  secret: string | undefined;
  relayOnly: boolean;
}

interface TokenFormProps {
  /** An invitation was pasted or scanned in place of a token. */
  oninvitation: (text: string) => void;
  /** The role that is wanted here. */
  role: 'client' | 'server';
  submit: string;
  busy: boolean;
  onsubmit: (given: Given) => void;
  /** Further options. */
  children?: ComponentChildren;
}

const elsewhere = {
  client: 'This is a server’s token: paste it under “Share this tab”.',
  server: 'This is a client’s token: paste it under “Connect”.',
};

/** By how much the relay lets clocks differ. */
const toleranceSeconds = 60;

/** The audience of a token, where this relay certainly takes another one. */
const foreignAudience = ({ audience }: TokenClaims): string | undefined =>
  ownAudience !== undefined && audience !== undefined && !audience.includes(ownAudience)
    ? audience.join(', ')
    : undefined;

/** What `mcp-rendezvous secret` prints; the SDK also checks that nothing in it is mistyped. */
const secretForm = /^mcps1[\w-]{49}$/;

function secretAdvice(bad: boolean): string {
  if (bad)
    return 'This is not an end-to-end secret. Create one with “mcp-rendezvous secret”, and paste it completely on both sides.';
  return 'The same on both sides, created by “mcp-rendezvous secret”. Then not even the relay can intercept the connection.';
}

/**
 * Where a token is pasted. Its fields have no name, so that no form could ever put them into an
 * address.
 */
export function TokenForm({ role, submit, busy, onsubmit, oninvitation, children }: TokenFormProps) {
  const id = useId();
  const [token, setToken] = useState('');
  const [secret, setSecret] = useState('');
  const [relayOnly, setRelayOnly] = useState(false);
  const [scanning, setScanning] = useState(false);
  const [scans, setScans] = useState(false);
  useEffect(() => void canScan().then(setScans, () => setScans(false)), []);
  const typed = token.trim();
  const invited = looksLikeInvitation(typed);
  const take = (text: string): void => {
    // One that is typed, or copied in parts, is shown when it is complete.
    const complete = looksLikeInvitation(text) && readInvitation(text).invitation !== undefined;
    setToken(complete ? '' : text);
    if (complete) oninvitation(text);
  };
  const claims = readToken(typed);
  const known = claims?.role !== undefined;
  const expired = claims?.expiresAt !== undefined && claims.expiresAt + toleranceSeconds <= relayNow();
  const fits = claims !== undefined && !expired && (!known || claims.role === role);
  const typedSecret = secret.trim();
  const badSecret = typedSecret !== '' && !secretForm.test(typedSecret);
  const ready = fits && !badSecret;
  const says = (): string => {
    if (typed === '')
      return `An invitation, or a room token with the role “${role}” from your backend. It stays in this page’s memory.`;
    if (invited) return readInvitation(typed).wrong ?? '';
    if (!claims) return 'This is neither an invitation nor a room token. A token has three parts, separated by dots.';
    if (expired)
      return `This token expired ${ago(relayNow() - (claims.expiresAt ?? 0))} ago. Request a new one where it came from.`;
    if (!fits) return elsewhere[role];
    if (!known)
      return 'It does not say role, room and subject where a room token does. The relay lets it in if it maps the claims of its issuer.';
    const ends = claims.expiresAt === undefined ? '' : `, until ${new Date(claims.expiresAt * 1000).toLocaleString()}`;
    const foreign = foreignAudience(claims);
    if (foreign !== undefined)
      return `This token is for “${foreign}”, which is not what this relay accepts: it will probably reject it.`;
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
        <label for={id}>Invitation or room token</label>
        <div class="row">
          <input
            id={id}
            type="password"
            class="grow"
            autoComplete="off"
            spellcheck={false}
            placeholder="Paste it here"
            aria-describedby={`${id}-d`}
            value={token}
            onInput={({ currentTarget }) => take(currentTarget.value)}
          />
          {scans && !scanning && (
            <button type="button" onClick={() => setScanning(true)}>
              Scan
            </button>
          )}
          <button type="submit" class="primary" disabled={!ready || busy}>
            {submit}
          </button>
        </div>
        {scanning && (
          <Scanner
            onfound={(text) => {
              setScanning(false);
              take(text);
            }}
            onclose={() => setScanning(false)}
          />
        )}
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
        {children}
      </details>
    </form>
  );
}
