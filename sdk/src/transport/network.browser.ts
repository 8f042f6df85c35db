type Listening = (type: string, listener: () => void) => void;
interface Source {
  addEventListener?: Listening;
  removeEventListener?: Listening;
}

/**
 * https://html.spec.whatwg.org/multipage/system-state.html#event-online,
 * https://wicg.github.io/netinfo/
 */
export function watchInterfaces(changed: () => void): () => void {
  const page: Source & { navigator?: { connection?: Source } } = globalThis as object;
  const sources: [Source | undefined, string][] = [
    [page, 'online'],
    [page.navigator?.connection, 'change'],
  ];
  for (const [source, type] of sources) source?.addEventListener?.(type, changed);
  return () => {
    for (const [source, type] of sources) source?.removeEventListener?.(type, changed);
  };
}
