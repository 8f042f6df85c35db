import type { MadeInvitation } from 'mcp-rendezvous';
import { useEffect, useState } from 'preact/hooks';
import { SettledButton } from '../consent/button.tsx';
import { isLoopbackName } from '../invite/read.ts';
import { home } from '../place.ts';
import type { Serving } from '../share/serve.ts';
import { Qr } from './qr.tsx';
import { Text } from './text.tsx';

/** Another device has no use for the name by which this machine calls itself. */
const isReachable = !isLoopbackName(new URL(home).hostname);

/** An invitation to a shared tab: made at once, shown as one code, and taken back. */
export function Invite({ serving }: { serving: Serving }) {
  const [made, setMade] = useState<MadeInvitation>();
  const [says, setSays] = useState('');
  const [wrong, setWrong] = useState('');
  const fail = (error: unknown): void => setWrong((error as Error).message);
  const invite = async (): Promise<void> => {
    setWrong('');
    setSays('');
    await serving.invite().then(setMade, fail);
  };
  const revoke = async (id: string): Promise<void> => {
    await serving.revoke(id).then(() => {
      setMade(undefined);
      setSays('The invitation is revoked, and its sessions have ended.');
    }, fail);
  };
  useEffect(() => void invite(), [serving]);
  return (
    <>
      {made && <Made made={made} onrevoke={() => void revoke(made.id)} />}
      <p role="status">{says}</p>
      {wrong && (
        <p class="wrong" role="alert">
          {wrong}
        </p>
      )}
      {!made && (says || wrong) && (
        <button type="button" onClick={() => void invite()}>
          Make another invitation
        </button>
      )}
    </>
  );
}

function Made({ made: { id, invitation, expiresAt }, onrevoke }: { made: MadeInvitation; onrevoke: () => void }) {
  const link = `${home}#${invitation}`;
  return (
    <>
      <p>
        This invitation is a secret: whoever has it can call this tab’s tools, until{' '}
        {new Date(expiresAt * 1000).toLocaleString()}.
      </p>
      {isReachable ? (
        <>
          <figure class="code">
            <Qr text={link} label="A link with the invitation, as a QR code" />
            <figcaption>
              Scan it with another device, or open the link there. The page behind it comes from this relay: if you do
              not trust the relay, use the command instead.
            </figcaption>
          </figure>
          <Text text={link} label="Link for a client" />
        </>
      ) : (
        <div class="hint">
          <p>
            There is no QR code, because this page is at {new URL(home).host}, which another device cannot reach. Start
            the relay with a key, at an address of your network:
          </p>
          <Text
            text={'RELAY_SECRET="$(openssl rand -base64 48)" RELAY_HOST=0.0.0.0 npm start'}
            label="Command for a relay in your network"
          />
          <p>
            Open its console there, and share this tab by an invitation for a server, which “mcp-rendezvous invite
            --role server” makes with that key.
          </p>
        </div>
      )}
      <h3>In a terminal</h3>
      <Text text={`npx mcp-rendezvous connect ${invitation}`} label="Command for a client" />
      <details>
        <summary>The invitation alone, to paste into a console</summary>
        <Text text={invitation} label="Invitation for a client" />
      </details>
      <div class="row">
        <SettledButton class="danger" standsFor={`revoke ${id}`} onPress={onrevoke}>
          Revoke this invitation
        </SettledButton>
      </div>
    </>
  );
}
