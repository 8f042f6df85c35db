import { useEffect, useState } from 'preact/hooks';
import type { Visitor } from '../share/serve.ts';
import { Line, ms } from './text.tsx';

/** A client of a shared tab, and by which way it is connected. */
export function VisitorRow({ visitor }: { visitor: Visitor }) {
  const [words, setWords] = useState('');
  useEffect(() => {
    const read = async (): Promise<void> => {
      const { path, roundTripMs, protocol } = await visitor.stats();
      const over = protocol === undefined ? '' : `, over ${protocol.toUpperCase()}`;
      const away = roundTripMs === undefined ? '' : `, ${ms(roundTripMs)} away`;
      setWords(path === undefined ? '' : `${ways[path]}${over}${away}`);
    };
    const timer = setInterval(() => void read().catch(() => setWords('')), 1000);
    return () => clearInterval(timer);
  }, [visitor.n]);
  return (
    <li>
      <span class={`dot-state ${visitor.state}`} aria-hidden="true" />{' '}
      <strong>
        <Line most={60}>{visitor.peer.subject}</Line>
      </strong>{' '}
      <span class="muted">
        {visitor.state} {words}
        {words && (visitor.verified() ? ', verified by its secret' : ', vouched for by the relay')}
      </span>
    </li>
  );
}

const ways = { direct: 'directly', turn: 'through TURN', relayed: 'through the relay' } as const;
