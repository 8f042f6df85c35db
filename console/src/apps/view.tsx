import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { SettledButton } from '../consent/button.tsx';
import { at } from '../place.ts';
import { Asks } from '../view/asks.tsx';
import type { Call } from '../view/outcome.tsx';
import { ErrorBox } from '../view/error.tsx';
import { Json, Line } from '../view/text.tsx';
import { TraceView } from '../view/trace.tsx';
import type { AppProps } from './props.ts';
import { AppBridge } from './bridge.ts';
import { holdPage, pageReturned } from './hold.ts';
import { isAppOpen } from './open.ts';
import { type AppResource, readApp } from './resource.ts';

/** How long the sandbox has to come up once its frame has loaded, in milliseconds. */
const sandboxMs = 5000;

/** Opens the app of a tool and, where it reaches other hosts, asks before it runs. */
export function AppView({ session, tool, uri, call }: AppProps) {
  const [app, setApp] = useState<AppResource>();
  const [agreed, setAgreed] = useState<string>();
  const [error, setError] = useState<unknown>();
  const open = async (): Promise<void> => {
    try {
      setError(undefined);
      const read = readApp(await session.readResource(uri), uri);
      await pageReturned();
      setApp(read);
    } catch (reason) {
      setError(reason);
    }
  };
  const { hosts = [], text, ignored = [] } = app?.policy ?? {};
  return (
    <section class="app" aria-label="App">
      <h3>
        App{' '}
        <code>
          <Line>{uri}</Line>
        </code>
      </h3>
      {error !== undefined && <ErrorBox error={error} />}
      {ignored.length > 0 && (
        <p class="wrong">
          Not allowed here: <Line most={500}>{ignored.join('; ')}</Line>
        </p>
      )}
      {hosts.length > 0 && (
        <p>
          It may load files from and connect to{' '}
          <strong>
            <Line most={4000}>{hosts.join(' ')}</Line>
          </strong>
        </p>
      )}
      {!app ? (
        <button type="button" onClick={() => void open()}>
          Open the app
        </button>
      ) : hosts.length > 0 && agreed !== text ? (
        <SettledButton standsFor={`run ${text}`} onPress={() => setAgreed(text)}>
          Run it with these hosts
        </SettledButton>
      ) : (
        <Running key={call.n} session={session} tool={tool} app={app} call={call} onclose={() => setApp(undefined)} />
      )}
    </section>
  );
}

interface RunningProps extends Omit<AppProps, 'uri'> {
  app: AppResource;
  onclose: () => void;
}

/**
 * An app that runs, alone on the page. In the page it could take the focus from what the person
 * types into, and scroll what they are about to press under their pointer, in every browser: in a
 * modal dialog there is nothing else to type into or to press, and nothing that scrolls.
 */
function Running({ session, tool, app, call, onclose }: RunningProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const frame = useRef<HTMLIFrameElement>(null);
  const [bridge] = useState(() => {
    const post = (message: unknown): void =>
      // The frame is of no origin that could be named. It cannot be navigated elsewhere, either.
      frame.current?.contentWindow?.postMessage(message, '*');
    return new AppBridge({ session, tool, app, post, context: () => contextOf(frame.current) });
  });
  const hold = useRef<() => void>(undefined);
  const release = (): boolean => {
    const end = hold.current;
    hold.current = undefined;
    end?.();
    return end !== undefined;
  };
  const close = async (): Promise<void> => {
    await bridge.close();
    // Before the app can be opened again, which is sooner than what is cleaned up after drawing.
    if (release()) onclose();
  };
  useEffect(() => {
    dialog.current?.showModal();
    isAppOpen.value = true;
    hold.current = holdPage(() => void close());
    return () => {
      release();
      isAppOpen.value = false;
    };
  }, []);
  // In the turn in which the frame is made: an effect runs after drawing, and by then the sandbox
  // may have said that it is ready.
  useLayoutEffect(() => {
    const over = new AbortController();
    const { signal } = over;
    const receive = (event: MessageEvent): void => {
      // What others send is not even unpacked.
      if (event.source === frame.current?.contentWindow && event.origin === 'null') bridge.receive(event.data);
      else if (event.source !== window) bridge.foreign();
    };
    addEventListener('message', receive, { signal });
    scheme.addEventListener('change', () => bridge.contextChanged({ theme: themeOf() }), { signal });
    const sized = new ResizeObserver(() => bridge.contextChanged({ containerDimensions: sizeOf(frame.current) }));
    if (frame.current) sized.observe(frame.current);
    bridge.input(call.given);
    return () => {
      over.abort();
      sized.disconnect();
      void bridge.close();
    };
  }, []);
  useEffect(() => {
    if (!call.cancel) bridge.end(endOf(call));
  }, [call.cancel]);
  const checkSandbox = (): void => {
    const check = (): void => {
      if (!bridge.loaded)
        bridge.stop('The sandbox does not load. A proxy in front of the relay may not forward /sandbox.');
    };
    setTimeout(check, sandboxMs);
  };
  const stopped = bridge.stopped.value;
  return (
    <dialog
      ref={dialog}
      class="app-dialog"
      aria-label={`App of ${tool.name.slice(0, 80)}`}
      onCancel={(event) => {
        event.preventDefault();
        void close();
      }}
    >
      <div class="row">
        <button type="button" onClick={() => void close()}>
          Close the app
        </button>
        <span class="muted">
          App of <Line most={80}>{tool.name}</Line>, in a sandbox without access to this page
        </span>
      </div>
      {stopped === undefined ? (
        <iframe
          ref={frame}
          src={at('sandbox')}
          sandbox="allow-scripts allow-forms"
          title={`App of ${tool.name.slice(0, 80)}`}
          onLoad={checkSandbox}
        />
      ) : (
        <p role="alert">{stopped}</p>
      )}
      <details>
        <summary>What the app says ({bridge.trace.recent.count.value} messages)</summary>
        <div class="app-log">
          {bridge.message.value !== undefined && <Json value={bridge.message.value} label="In your name" />}
          {bridge.modelContext.value !== undefined && <Json value={bridge.modelContext.value} label="For a model" />}
          <TraceView trace={bridge.trace} />
        </div>
      </details>
      <Asks session={session} />
    </dialog>
  );
}

const endOf = ({ error, result }: Call) =>
  error === undefined ? { result } : { cancelled: error instanceof Error ? error.message : 'The call failed.' };

const scheme = window.matchMedia('(prefers-color-scheme: dark)');
const themeOf = (): 'dark' | 'light' => (scheme.matches ? 'dark' : 'light');
const sizeOf = (frame: HTMLIFrameElement | null) => ({
  width: frame?.clientWidth ?? 0,
  height: frame?.clientHeight ?? 0,
});

const contextOf = (frame: HTMLIFrameElement | null) => ({
  theme: themeOf(),
  displayMode: 'inline',
  availableDisplayModes: ['inline'],
  containerDimensions: sizeOf(frame),
  locale: navigator.language,
  timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  platform: 'web',
  userAgent: 'mcp-rendezvous-console',
});
