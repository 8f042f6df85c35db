import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { AppProps } from './props.ts';

/** The app of a tool. Most servers have none: what shows them is loaded with the first one. */
export function App(props: AppProps) {
  const [loaded, setLoaded] = useState<{ View: ComponentType<AppProps> }>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    import('./view.tsx').then(
      ({ AppView }) => setLoaded({ View: AppView }),
      () => setFailed(true),
    );
  }, []);
  if (failed) return <p role="alert">Apps could not be loaded. Is the relay running? Reload the page.</p>;
  return loaded ? <loaded.View {...props} /> : null;
}
