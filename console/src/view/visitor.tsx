import { useEffect, useState } from 'preact/hooks';
import type { Visitor } from '../share/serve.ts';
import { Line, ms } from './text.tsx';

/** A client of a shared tab, and by which way it is connected. */
export function VisitorRow({ visitor }: { visitor: Visitor }) {
  const [words, setWords] = useState('');
  useEffect(() => {
    const read = async (): Promise<void> => {
      const { localCandidateType, roundTripMs, protocol } = await visitor.stats();
      const way = localCandidateType === 'relay' ? 'through TURN' : 'directly';
      setWords(
        `${way}, over ${(protocol ?? 'udp').toUpperCase()}${roundTripMs === undefined ? '' : `, ${ms(roundTripMs)} away`}`,
      );
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
      </span>
    </li>
  );
}
