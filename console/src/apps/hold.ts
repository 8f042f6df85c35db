/**
 * Keeps the page where it is while an app is open. A frame may go back in the history of the page
 * in Firefox, and close a page that has no history, whatever its sandbox says. With an entry more
 * the first step back leads to the same page, and `onback` is told. Two steps at once leave it: the
 * browser may ask the person, and Firefox did not where it was tried.
 *
 * @returns what ends it
 */
export function holdPage(onback: () => void): () => void {
  const over = new AbortController();
  const { signal } = over;
  history.pushState(entry, '');
  addEventListener('popstate', onback, { signal });
  addEventListener('beforeunload', (event) => event.preventDefault(), { signal });
  return () => {
    over.abort();
    const { app } = (history.state ?? {}) as Partial<typeof entry>;
    if (!app) return;
    returning = new Promise((resolve) => {
      addEventListener('popstate', () => resolve(), { once: true });
      setTimeout(resolve, returnMs);
    });
    history.back();
  };
}

/**
 * Resolves when no step back of the page's own is under way any more. A browser takes it some time
 * after it was asked to, and whoever holds the page in between would take it for one of the app.
 */
export const pageReturned = (): Promise<void> => returning;

let returning: Promise<void> = Promise.resolve();
/** After which a step back does not come any more, in milliseconds. */
const returnMs = 2000;
const entry = { app: true };
