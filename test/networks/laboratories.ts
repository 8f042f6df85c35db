import { fileURLToPath } from 'node:url';
import { RemoteProcess } from '../support/remote.ts';
import { within } from '../support/wait.ts';
import type { Cell, Outcome } from './cell.ts';
import type { Laboratory } from './laboratory.ts';

const cellMs = 400_000;

/**
 * Starts a laboratory in namespaces of its own. When its process ends, or the one that started it,
 * all its networks and processes end with it.
 */
function startLaboratory(): RemoteProcess<Laboratory> {
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const namespaces = [...user, '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const program = fileURLToPath(new URL('laboratory.ts', import.meta.url));
  return new RemoteProcess<Laboratory>([
    'unshare',
    ...namespaces,
    process.execPath,
    '--conditions=mcp-rendezvous-source',
    program,
  ]);
}

/**
 * Runs all cells, each in the first laboratory that is free.
 *
 * @param count of laboratories that work at the same time
 * @param ended hears of each cell's outcome
 */
export async function runCells(cells: Cell[], count: number, ended: (outcome: Outcome) => void): Promise<void> {
  const waiting = cells.values();
  const work = async (): Promise<void> => {
    const laboratory = startLaboratory();
    try {
      // The iterator is shared: each cell is taken once.
      for (const cell of waiting) {
        // What comes back is a copy of the cell, too.
        ended({ ...(await within(laboratory.call('run', cell), 'the cell ends', cellMs)), cell });
      }
      await laboratory.call('close');
    } finally {
      await laboratory.stop();
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, cells.length) }, work));
}
