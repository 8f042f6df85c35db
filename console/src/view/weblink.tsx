import { SettledLink } from '../consent/button.tsx';
import { visible } from './text.tsx';

/**
 * An address that somebody else names: shown in full, with its host in bold, and opened only when
 * it is one of the web.
 */
export function WebLink({ url, onOpen }: { url: string; onOpen?: () => void }) {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !['https:', 'http:'].includes(parsed.protocol)) {
    return <code>{visible(url.slice(0, 500))} (not an address of the web: it cannot be opened)</code>;
  }
  return (
    <SettledLink href={parsed.href} onOpen={onOpen}>
      {parsed.protocol}//<strong>{parsed.host}</strong>
      {visible(`${parsed.pathname}${parsed.search}`.slice(0, 500))}
    </SettledLink>
  );
}
