import { serveParent } from '../support/remote.ts';
import { type Cell, type Outcome, runCell } from './cell.ts';
import { Internet } from './internet.ts';

/** A process with an internet of its own. */
export interface Laboratory {
  run(cell: Cell): Promise<Outcome>;
  close(): Promise<void>;
}

// Usage: in a network and a process namespace of its own, with an IPC channel
const internet = await Internet.create();
serveParent<Laboratory>({ run: (cell) => runCell(internet, cell), close: () => internet.close() });
