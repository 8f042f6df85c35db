import { useState } from 'preact/hooks';
import type { Connection } from '../mcp/connection.ts';
import type { DrillName, DrillReport, Drills } from '../share/drill.ts';
import type { Serving } from '../share/serve.ts';
import { ms } from './text.tsx';

const words: Record<DrillName, { title: string; does: string }> = {
  cut: { title: 'Cut the path', does: 'Closes the connection between the ends, as a broken network does.' },
  udp: { title: 'Block UDP', does: 'Closes the connection, and for 10 s no other one can be made.' },
  relay: { title: 'Lose the relay', does: 'For 10 s neither end reaches the relay.' },
  sleep: { title: 'Sleep for a minute', does: 'The server goes silent for 60 s, like a laptop with its lid closed.' },
};

const drillNames = Object.keys(words) as DrillName[];

interface FailuresProps {
  drills: Drills;
  connection: Connection;
  serving: Serving;
}

/** Breaks the demonstration's network in the ways in which networks break. */
export function Failures({ drills, connection, serving }: FailuresProps) {
  const [open, setOpen] = useState(false);
  const running = drills.running.value;
  const live = connection.state.value === 'connected' && connection.session.value !== undefined;
  const canRun = (name: DrillName): boolean =>
    live && !running && (name === 'sleep' || connection.journal.path.value !== 'relayed');
  return (
    <section class="failures" aria-label="Cut the connection">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        Cut the connection
      </button>
      {open && (
        <ul>
          {drillNames.map((name) => (
            <li key={name}>
              <button type="button" disabled={!canRun(name)} onClick={() => void drills.run(name, connection, serving)}>
                {words[name].title}
              </button>
              <span class="muted">{words[name].does}</span>
            </li>
          ))}
        </ul>
      )}
      {drills.reports.value.length > 0 && (
        <div role="log" aria-label="What happened to the messages">
          <ol>
            {drills.reports.value.slice(-5).map((report) => (
              <li key={report.n} class={report.failed > 0 ? 'lost' : report.phase}>
                <strong>{words[report.name].title}</strong> {says(report)}
              </li>
            ))}
          </ol>
        </div>
      )}
    </section>
  );
}

function says({ phase, sent, answered, failed, slowestMs, ended }: DrillReport): string {
  const counts = `${sent} messages sent, ${answered} answered`;
  if (phase === 'running') return `${counts} …`;
  const slowest = answered > 0 ? ` The slowest took ${ms(slowestMs)}.` : '';
  if (failed === 0) return `${counts}, none lost.${slowest}`;
  const why = ended ? ' The session ended: it waits 30 s for an end that is silent, and repeats no request.' : '';
  return `${counts}, ${failed} without an answer.${slowest}${why}`;
}
