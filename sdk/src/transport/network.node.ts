import { networkInterfaces } from 'node:os';

/** Node has no event for it; asking takes some 50 µs. */
const everyMs = 1_000;

export function watchInterfaces(changed: () => void): () => void {
  let known = addresses();
  const timer = setInterval(() => {
    const now = addresses();
    if (now === known) return;
    known = now;
    changed();
  }, everyMs);
  return () => clearInterval(timer);
}

const addresses = (): string =>
  Object.entries(networkInterfaces())
    .flatMap(([name, all]) => (all ?? []).map(({ address }) => `${name} ${address}`))
    .toSorted()
    .join('\n');
