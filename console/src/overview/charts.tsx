import { bytes } from '../view/text.tsx';
import { historyMs, type Reading } from './history.ts';
import { mixOf, type Path, paths } from './paths.ts';

/** What the relay did in the last ten minutes, drawn. */
export function Charts({ readings }: { readings: readonly Reading[] }) {
  return (
    <div class="charts">
      <Chart name="Joins" readings={readings} of={({ joins }) => joins} words={perSecond} />
      <Chart name="Signals" readings={readings} of={({ signals }) => signals} words={perSecond} />
      <Chart name="Rejections" readings={readings} of={({ rejections }) => rejections} words={perSecond} />
      <Chart
        name="Relayed data"
        readings={readings}
        of={({ relayedBytes }) => relayedBytes}
        words={(value) => `${bytes(value)}/s`}
      />
      <Mix readings={readings} />
    </div>
  );
}

const perSecond = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;

/** Over which paths sessions went, each path by its share. */
function Mix({ readings }: { readings: readonly Reading[] }) {
  const countOf = (path: Path): number => readings.reduce((all, reading) => all + reading.paths[path], 0);
  const all = paths.reduce((sum, path) => sum + countOf(path), 0);
  const words = mixOf(countOf) || 'none reported yet';
  let end = 0;
  return (
    <figure class="mix">
      <figcaption>
        Paths of sessions <strong>{words}</strong> <span class="muted">in the last ten minutes</span>
      </figcaption>
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={`Paths of sessions: ${words}`}>
        <path class="ground" d="M0 7.5h100" />
        {paths.map((path) => {
          const width = (100 * countOf(path)) / Math.max(all, 1);
          end += width;
          return <rect key={path} class={path} x={end - width} width={width} height="8" />;
        })}
      </svg>
    </figure>
  );
}

interface ChartProps {
  name: string;
  readings: readonly Reading[];
  of: (reading: Reading) => number;
  words: (value: number) => string;
}

function Chart({ name, readings, of, words }: ChartProps) {
  const now = readings.at(-1)?.at ?? 0;
  const most = Math.max(...readings.map(of), 0);
  const points = readings.map(
    (reading) => `${100 - (100 * (now - reading.at)) / historyMs},${38 - (34 * of(reading)) / Math.max(most, 1e-9)}`,
  );
  const last = readings.at(-1);
  const label = `${name}: ${last ? words(of(last)) : 'no reading yet'} now, at most ${words(most)} in the last ten minutes`;
  return (
    <figure>
      <figcaption>
        {name} <strong>{last ? words(of(last)) : '–'}</strong> <span class="muted">at most {words(most)}</span>
      </figcaption>
      <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label={label}>
        <path class="ground" d="M0 38.5h100" />
        <polyline points={points.join(' ')} />
      </svg>
    </figure>
  );
}
