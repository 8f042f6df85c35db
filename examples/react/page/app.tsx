import { type ReactNode, StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import type { Client } from '@modelcontextprotocol/client';
import { type Place, useMcp } from './use-mcp.ts';

/** Asks the backend, which knows who is signed in, for the relay and for tokens. */
async function enterRoom(): Promise<Place> {
  const ask = async (): Promise<{ relay: string; token: string }> => {
    const body = JSON.stringify({ room: 'desk', role: 'client', subject: 'page' });
    const response = await fetch('/token', { method: 'POST', body });
    if (!response.ok) throw new Error(`The backend gave no token (HTTP ${response.status}).`);
    return (await response.json()) as { relay: string; token: string };
  };
  const { relay } = await ask();
  return { relay, token: async () => (await ask()).token };
}

function App({ place }: { place: Place }): ReactNode {
  const connection = useMcp(place);
  return (
    <main>
      <h1>Tools of the other side</h1>
      <p role="status">{connection.state}</p>
      {'error' in connection && <p role="alert">{connection.error.message}</p>}
      {'client' in connection && <Tools client={connection.client} />}
    </main>
  );
}

function Tools({ client }: { client: Client }): ReactNode {
  const [names, setNames] = useState<string[]>([]);
  useEffect(() => {
    let shown = true;
    client.listTools().then(
      ({ tools }) => shown && setNames(tools.map(({ name }) => name)),
      // The session has ended, which the status says.
      () => {},
    );
    return () => {
      shown = false;
    };
  }, [client]);
  return (
    <ul>
      {names.map((name) => (
        <li key={name}>{name}</li>
      ))}
    </ul>
  );
}

const place = await enterRoom();
createRoot(document.body.appendChild(document.createElement('div'))).render(
  <StrictMode>
    <App place={place} />
  </StrictMode>,
);
