import { useSignal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { opened as inAddress } from '../invite/address.ts';
import { Connection, type ConnectionOptions, describe } from '../mcp/connection.ts';
import { type VersionChoice, versions } from '../mcp/dialect.ts';
import { askForTrial, development } from '../place.ts';
import { Diagram } from './diagram.tsx';
import { InvitationCard } from './invitationcard.tsx';
import { TokenForm } from './tokenform.tsx';
import { type Demo, Workbench } from './workbench.tsx';

interface Opened {
  connection: Connection;
  demo?: Demo;
  again: () => void;
}

/** The console's beginning: try it, or paste a token; then the connection. */
export function Connect() {
  const [opened, setOpened] = useState<Opened>();
  const busy = useSignal(false);
  const wrong = useSignal('');
  const version = useSignal<VersionChoice>('automatic');
  const [pasted, setPasted] = useState<string>();
  useEffect(() => () => void opened?.demo?.serving.close(), [opened?.demo]);

  const connect = (options: ConnectionOptions): void => {
    const connection = new Connection({ ...options, version: version.value });
    setOpened({ connection, again: () => connect(options) });
    void connection.open();
  };
  const tryIt = async (): Promise<void> => {
    busy.value = true;
    wrong.value = '';
    try {
      const [tokens, { Serving }, { createDemoServer }, { Drills }] = await Promise.all([
        askForTrial(),
        import('../share/serve.ts'),
        import('../share/demo.ts'),
        import('../share/drill.ts'),
      ]);
      const [serving, drills] = [new Serving(), new Drills()];
      const connection = new Connection({ access: { token: tokens.client }, faults: drills.faults.client });
      setOpened({ connection, demo: { serving, drills }, again: () => void tryIt() });
      // Both at once: whoever comes first waits for the other.
      const serve = serving
        .open({ token: tokens.server }, createDemoServer, drills.faults.server)
        .catch((error: unknown) => {
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

  const text = pasted ?? inAddress.value;
  const dismiss = (): void => {
    setPasted(undefined);
    inAddress.value = undefined;
  };
  const invited = text !== undefined && (
    <InvitationCard
      text={text}
      role="client"
      onaccept={(invitation) => {
        dismiss();
        connect({ access: { invitation } });
      }}
      ondismiss={dismiss}
    />
  );
  if (opened) {
    const { connection, demo, again } = opened;
    return (
      <>
        {invited}
        <Workbench
          key={connection.journal.startedAt}
          connection={connection}
          demo={demo}
          onclose={() => setOpened(undefined)}
          onagain={again}
        />
      </>
    );
  }
  if (invited) return invited;
  return (
    <>
      <section class="hero">
        <h1>MCP, peer to peer</h1>
        <p class="lead">
          This relay introduces MCP clients and servers that cannot reach each other. MCP then flows between them,
          encrypted end to end: directly where they find a path, otherwise through TURN or this relay.
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
          relay="none"
          label=""
          caption="Both ends meet through the relay, then connect directly"
          done={{}}
        />
      </section>
      <TokenForm
        role="client"
        submit="Connect"
        busy={busy.value}
        onsubmit={({ token, secret, relayOnly }) => connect({ access: { token, secret }, relayOnly })}
        oninvitation={setPasted}
      >
        <label class="field">
          <span>Protocol version</span>
          <select
            value={version.value}
            onChange={({ currentTarget }) => void (version.value = currentTarget.value as VersionChoice)}
          >
            {(['automatic', ...versions] as const).map((choice) => (
              <option key={choice}>{choice}</option>
            ))}
          </select>
          <small>Of MCP. Automatic: the newest one that the server speaks, too.</small>
        </label>
      </TokenForm>
    </>
  );
}
