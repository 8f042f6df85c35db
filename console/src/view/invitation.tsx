import { home } from '../place.ts';
import { Qr } from './qr.tsx';
import { Text } from './text.tsx';

/** A link to this console, and the token beside it: it would be logged and remembered if it were in the link. */
export function Invitation({ token }: { token: string }) {
  return (
    <>
      <ol class="steps">
        <li>
          Open this console elsewhere:{' '}
          <a href={home} target="_blank" rel="noopener noreferrer">
            {home}
          </a>
        </li>
        <li>Paste this token there, and connect. It is a secret: whoever has it can call this tab’s tools.</li>
      </ol>
      <Text text={token} label="Token for a client" />
      <div class="qrs">
        <figure>
          <Qr text={home} label="The console’s address as a QR code" />
          <figcaption>1. the address</figcaption>
        </figure>
        <figure>
          <Qr text={token} label="The client’s token as a QR code" />
          <figcaption>2. the token</figcaption>
        </figure>
      </div>
    </>
  );
}
