import type { Meter, Sample } from '../observe/meter.ts';
import { bytes, ms } from './text.tsx';

/** The connection in numbers, live. */
export function Figures({ meter }: { meter: Meter }) {
  const samples = meter.samples.value;
  const last = samples.at(-1);
  const { sent, received } = meter.total.value;
  return (
    <dl class="figures">
      <Figure name="Round trip" value={last?.roundTripMs === undefined ? '–' : ms(last.roundTripMs)}>
        <Spark samples={samples} of={({ roundTripMs }) => roundTripMs ?? 0} />
      </Figure>
      <Figure name="Sent" value={`${bytes(last?.sent ?? 0)}/s`} detail={`${bytes(sent)} in all`}>
        <Spark samples={samples} of={(sample) => sample.sent} />
      </Figure>
      <Figure name="Received" value={`${bytes(last?.received ?? 0)}/s`} detail={`${bytes(received)} in all`}>
        <Spark samples={samples} of={(sample) => sample.received} />
      </Figure>
      <Figure name="Send queue" value={bytes(last?.buffered ?? 0)}>
        <Spark samples={samples} of={({ buffered }) => buffered} />
      </Figure>
    </dl>
  );
}

interface FigureProps {
  name: string;
  value: string;
  detail?: string;
  children?: preact.ComponentChildren;
}

export const Figure = ({ name, value, detail = '', children }: FigureProps) => (
  <div class="figure">
    <dt>{name}</dt>
    <dd>
      <span class="value">{value}</span>
      <span class="muted detail">{detail}</span>
      {children}
    </dd>
  </div>
);

/** Samples of a line at its full width, at the least: it grows, and then it moves. */
const leastSamples = 20;

function Spark({ samples, of }: { samples: Sample[]; of: (sample: Sample) => number }) {
  const values = samples.map(of);
  const most = Math.max(...values, 1e-9);
  const points = values.map(
    (value, n) => `${(n * 100) / (Math.max(values.length, leastSamples) - 1)},${22.5 - (20 * value) / most}`,
  );
  return (
    <svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points.join(' ')} />
    </svg>
  );
}

/** What ICE tried. */
export function Pairs({ meter, relayed }: { meter: Meter; relayed: boolean }) {
  const pairs = meter.pairs.value;
  if (relayed) return <p class="muted">The data goes through the relay. No pair is in use.</p>;
  if (pairs.length === 0) return <p class="muted">No pair of candidates yet.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="ICE candidate pairs">
      <table>
        <thead>
          <tr>
            <th scope="col">Here</th>
            <th scope="col">There</th>
            <th scope="col">State</th>
            <th scope="col">Round trip</th>
            <th scope="col">Bytes</th>
          </tr>
        </thead>
        <tbody>
          {pairs.map(({ id, local, remote, state, selected, roundTripMs, bytes: count }) => (
            <tr key={id} class={selected ? 'selected' : ''}>
              <td>
                {local.type} {local.protocol} <span class="muted">{local.address}</span>
              </td>
              <td>
                {remote.type} {remote.protocol} <span class="muted">{remote.address}</span>
              </td>
              <td>{selected ? 'in use' : state}</td>
              <td>{roundTripMs === undefined ? '–' : ms(roundTripMs)}</td>
              <td>{bytes(count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
