import { signal } from '@preact/signals';

/**
 * Whether an app is open. It fills the page, and what the server or the app asks is asked there:
 * everything else of the page is inert.
 */
export const isAppOpen = signal(false);
