type PageListening = (type: 'pagehide', listener: () => void) => void;

/**
 * Tells a page that it is about to be closed; other platforms have neither function. Without that
 * the other side would only notice when ICE fails, after 30 s.
 */
export const page = globalThis as Partial<Record<'addEventListener' | 'removeEventListener', PageListening>>;
