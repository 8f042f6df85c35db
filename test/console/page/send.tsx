/** Sends something to whoever holds the frame. */
export const send = (message: unknown): void => parent.postMessage(message, '*');
