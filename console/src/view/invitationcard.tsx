import { useEffect, useRef } from 'preact/hooks';
import { SettledButton } from '../consent/button.tsx';
import { asHere, readInvitation } from '../invite/read.ts';
import { relayHost, relayNow } from '../place.ts';
import { Line } from './text.tsx';

/** From so long before its end on an invitation is warned of, in seconds, as the CLI does. */
const warnSeconds = 14 * 86_400;

const relative = new Intl.RelativeTimeFormat('en');
/** In days, hours or minutes, whichever says it best. */
function inTime(seconds: number): string {
  if (seconds >= 2 * 86_400) return relative.format(Math.floor(seconds / 86_400), 'day');
  if (seconds >= 7_200) return relative.format(Math.floor(seconds / 3_600), 'hour');
  return relative.format(Math.max(1, Math.floor(seconds / 60)), 'minute');
}

interface InvitationCardProps {
  /** As it was pasted, scanned, or found in the address. */
  text: string;
  /** What this view is good for. */
  role: 'client' | 'server';
  /** With the invitation, once the person here wants it. */
  onaccept: (invitation: string) => void;
  ondismiss: () => void;
}

/** Shows what an invitation leads to, and asks before it is used. */
export function InvitationCard({ text, role, onaccept, ondismiss }: InvitationCardProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [text]);
  const { invitation, wrong, elsewhere } = readInvitation(text);
  const misplaced = invitation && invitation.role !== role;
  const does = invitation?.role === 'server' ? 'Share this tab' : 'Connect';
  return (
    <section class="card token invited" aria-label="Invitation">
      <h1 ref={heading} tabIndex={-1}>
        {!invitation || wrong || misplaced ? 'This invitation cannot be used here' : `${does} by this invitation?`}
      </h1>
      {wrong && (
        <p class="wrong" role="alert">
          {wrong}
        </p>
      )}
      {elsewhere && (
        <p>
          Open{' '}
          <a href={elsewhere} rel="noopener noreferrer">
            {elsewhere}
          </a>{' '}
          and paste the invitation there, or use “mcp-rendezvous connect”.
        </p>
      )}
      {misplaced && !wrong && (
        <p class="wrong" role="alert">
          {role === 'client'
            ? 'It is for a server: open it under “Share this tab”.'
            : 'It is for a client: open it under “Connect”.'}
        </p>
      )}
      {invitation && !wrong && (
        <>
          <dl class="facts">
            {invitation.name !== undefined && (
              <>
                <dt>Server</dt>
                <dd>
                  <strong>
                    <Line most={64}>{invitation.name}</Line>
                  </strong>
                </dd>
              </>
            )}
            <dt>Relay</dt>
            <dd>{relayHost}</dd>
            <dt>Room</dt>
            <dd>
              <Line most={128}>{invitation.room}</Line>
            </dd>
            <dt>You are</dt>
            <dd>
              <Line most={128}>{invitation.subject}</Line>
            </dd>
            <dt>Valid until</dt>
            <dd>{new Date(invitation.expiresAt * 1000).toLocaleString()}</dd>
          </dl>
          {invitation.expiresAt - relayNow() < warnSeconds && (
            <p>
              <strong>It ends {inTime(invitation.expiresAt - relayNow())}.</strong> Ask whoever sent it for another one
              before that.
            </p>
          )}
          <p class="muted">
            The name and the room are what the sender of the invitation calls them. Both ends prove that they have its
            secret. This page itself came from the relay {relayHost}, though, which could change the page and read
            along: if you do not trust the relay, use “mcp-rendezvous connect”.
          </p>
        </>
      )}
      <div class="row">
        {invitation && !wrong && !misplaced && (
          <SettledButton class="primary" standsFor={text} onPress={() => onaccept(asHere(invitation))}>
            {does}
          </SettledButton>
        )}
        <button type="button" onClick={ondismiss}>
          {invitation && !wrong && !misplaced ? 'Not now' : 'Dismiss'}
        </button>
      </div>
    </section>
  );
}
