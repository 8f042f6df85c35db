import { signal } from '@preact/signals';
import { looksLikeInvitation, readInvitation } from './read.ts';

/** The invitation with which this page was opened, until somebody has decided about it. */
export const opened = signal<string | undefined>(undefined);

/**
 * Takes an invitation out of the page's address, so that it stays in neither the history nor a
 * screenshot nor a bookmark, and goes to the view that it is for.
 */
export function takeFromAddress(): void {
  const text = location.hash.slice(1);
  if (!looksLikeInvitation(text)) return;
  const view = readInvitation(text).invitation?.role === 'server' ? 'share' : 'connect';
  history.replaceState(null, '', `#${view}`);
  opened.value = text;
}
