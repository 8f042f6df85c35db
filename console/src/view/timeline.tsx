import type { Journal, Recovery, StepName } from '../observe/journal.ts';
import { stepLabels, stepNames } from '../observe/journal.ts';
import { ms } from './text.tsx';

/** Each step from the click to the first answer, with the time that it took. */
export function Timeline({ journal }: { journal: Journal }) {
  const steps = journal.steps.value;
  const failure = journal.failure.value;
  const current = failure?.step ?? stepNames.find((name) => steps[name] === undefined);
  const total = Math.max(...Object.values(steps), 1);
  let before = 0;
  return (
    <ol class="timeline" aria-label="From the click to the first answer">
      {stepNames.map((name) => {
        const end = steps[name];
        const begin = before;
        if (end !== undefined) before = end;
        const state =
          end !== undefined && failure?.step !== name ? 'done' : stateOf(name, current, failure !== undefined);
        return (
          <li key={name} class={state} data-step={name}>
            <span class="name">{stepLabels[name]}</span>
            <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
              {end !== undefined && (
                <rect
                  x={(100 * begin) / total}
                  width={Math.max((100 * (end - begin)) / total, 0.8)}
                  height="10"
                  rx="1"
                />
              )}
            </svg>
            <span class="time">{state === 'done' && end !== undefined ? ms(end - begin) : words[state]}</span>
          </li>
        );
      })}
      {current === undefined && (
        <li class="total">
          <span class="name">In all</span>
          <span class="bar" />
          <span class="time">{ms(total)}</span>
        </li>
      )}
    </ol>
  );
}

const words = { done: '', running: 'now', failed: 'failed', waiting: '–' } as const;

function stateOf(name: StepName, current: StepName | undefined, failed: boolean): keyof typeof words {
  if (name !== current) return 'waiting';
  return failed ? 'failed' : 'running';
}

const lostWords = { direct: 'Direct path lost', turn: 'TURN path lost', relayed: 'Relayed path lost' } as const;

/** What the session had instead, and for how long it had nothing. */
function meanwhile({ via, gapMs, outcome }: Recovery): string {
  const gap = gapMs > 0 ? `No path for ${ms(gapMs)}` : '';
  if (via !== 'relayed') return gap;
  return `${gap}${gap ? ', then through' : 'Through'} the relay${outcome === 'running' ? ' so far' : ''}`;
}

/** What happened when a path was lost. */
export function Recoveries({ journal }: { journal: Journal }) {
  const recoveries = journal.recoveries.value;
  if (recoveries.length === 0) return null;
  const describe = ({ outcome, tookMs }: Recovery): string => {
    if (outcome === 'running') return 'Looking for a better path';
    const took = tookMs === undefined ? '' : ` ${outcome === 'restored' ? 'in' : 'after'} ${ms(tookMs)}`;
    return outcome === 'restored' ? `Restored${took}. No messages lost` : `Not restored${took}`;
  };
  return (
    <section class="recoveries" aria-label="Recoveries">
      <h2>Recoveries</h2>
      <ol>
        {recoveries.slice(-20).map((recovery) => (
          <li key={recovery.lostAt} class={recovery.outcome}>
            <time>{new Date(recovery.lostAt).toLocaleTimeString()}</time>
            <span>{lostWords[recovery.from]}</span>
            <span>{meanwhile(recovery)}</span>
            <span>{recovery.how}</span>
            <strong>{describe(recovery)}</strong>
          </li>
        ))}
      </ol>
    </section>
  );
}
