import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { Connection, type ConnectionOptions, describe } from '../mcp/connection.ts';
import { askForTrial, development } from '../place.ts';
import type { Serving } from '../share/serve.ts';
import { Diagram } from './diagram.tsx';
import { TokenForm } from './tokenform.tsx';
import { Workbench } from './workbench.tsx';

interface Opened {
  connection: Connection;
  serving?: Serving;
  again: () => void;
}

/** The console's beginning: try it, or paste a token; then the connection. */
export function Connect() {
  const [opened, setOpened] = useState<Opened>();
  const busy = useSignal(false);
  const wrong = useSignal('');
  useEffect(() => () => void opened?.serving?.close(), [opened?.serving]);

  const connect = (options: ConnectionOptions): void => {
    const connection = new Connection(options);
    setOpened({ connection, again: () => connect(options) });
    void connection.open();
  };
  const tryIt = async (): Promise<void> => {
    busy.value = true;
    wrong.value = '';
    try {
      const [tokens, { Serving }, { createDemoServer }] = await Promise.all([
        askForTrial(),
        import('../share/serve.ts'),
        import('../share/demo.ts'),
      ]);
      const serving = new Serving();
      const connection = new Connection({ token: tokens.client });
      setOpened({ connection, serving, again: () => void tryIt() });
      // Both at once: whoever comes first waits for the other.
      const serve = serving.open(tokens.server, undefined, createDemoServer).catch((error: unknown) => {
        connection.journal.fail(...describe(error));
        connection.close();
      });
      await Promise.all([serve, connection.open()]);
    } catch (error) {
      wrong.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  };

  if (opened) {
    const { connection, serving, again } = opened;
    return (
      <Workbench
        key={connection.journal.startedAt}
        connection={connection}
        serving={serving}
        onclose={() => setOpened(undefined)}
        onagain={again}
      />
    );
  }
  return (
    <>
      <section class="hero">
        <h1>MCP, peer to peer</h1>
        <p class="lead">
          This relay introduces MCP clients and servers that cannot reach each other. What they say to each other goes
          over an encrypted WebRTC data channel, and never through the relay.
        </p>
        {development && (
          <button type="button" class="primary big" disabled={busy.value} onClick={() => void tryIt()}>
            Try it
          </button>
        )}
        {wrong.value && (
          <p class="wrong" role="alert">
            {wrong.value}
          </p>
        )}
        <Diagram
          phase="idle"
          here={{ title: 'This page', detail: 'MCP client' }}
          there={{ title: 'An MCP server', detail: 'desktop, tab, private network' }}
          path={undefined}
          label=""
          caption="Both ends meet through the relay, and then speak directly"
          done={{}}
        />
      </section>
      <TokenForm
        role="client"
        submit="Connect"
        busy={busy.value}
        onsubmit={({ token, secret, relayOnly }) => connect({ token, relayOnly, ...(secret && { secret }) })}
      />
    </>
  );
}
