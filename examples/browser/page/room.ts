/** A tab's place in a room: where the relay is, and a token for it. */
export interface Place {
  relay: string;
  /** Fetches a fresh token; the SDK calls it whenever one is about to expire. */
  token: () => Promise<string>;
}

/**
 * A random name of `words` numbers. Not `crypto.randomUUID()`, which pages over plain http do not
 * have.
 */
export const randomName = (words: number): string => crypto.getRandomValues(new Uint32Array(words)).join('-');

/** Asks the application's backend for a place in the room. */
export async function enterRoom(room: string, role: 'server' | 'client'): Promise<Place> {
  const subject = `${role}-${randomName(1)}`;
  const ask = async (): Promise<{ relay: string; token: string }> => {
    const response = await fetch('/token', { method: 'POST', body: JSON.stringify({ room, role, subject }) });
    if (!response.ok) throw new Error(`The backend gave no token (HTTP ${response.status}).`);
    return (await response.json()) as { relay: string; token: string };
  };
  const { relay } = await ask();
  return { relay, token: async () => (await ask()).token };
}
