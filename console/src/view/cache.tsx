import type { CacheHint } from '../mcp/types.ts';
import { ago } from './text.tsx';

const audience = { public: 'the same for everyone', private: 'for this client only' };

/** How long the server lets a result be kept. The console never keeps one: it shows what is. */
export const Cache = ({ hint }: { hint: CacheHint | undefined }) =>
  hint ? (
    <p class="muted cache">
      {hint.ttlMs === 0 ? 'Not to be cached' : `May be cached for ${ago(hint.ttlMs / 1000)}, ${audience[hint.scope]}`}
    </p>
  ) : null;
