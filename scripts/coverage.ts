import { relative } from 'node:path';

/**
 * The least share of lines, in percent, that the unit tier runs of what carries sessions: the link,
 * signaling, rooms, presence. Each is a little below what it was when it was set.
 */
const floors: Readonly<Record<string, number>> = {
  'sdk/src/link': 97,
  'sdk/src/signaling': 92,
  'server/src/rooms': 90,
};

/** Whose coverage is taken. */
export const coveredGlobs: string[] = Object.keys(floors).map((folder) => `${folder}/**`);

/** What node:test counts of a file. */
interface Counts {
  path: string;
  totalLineCount: number;
  coveredLineCount: number;
}

/** One problem for each folder that is below its floor. */
export function problemsOfCoverage(files: Counts[]): string[] {
  return Object.entries(floors).flatMap(([folder, floor]) => {
    const within = files.filter(({ path }) => relative('.', path).replaceAll('\\', '/').startsWith(`${folder}/`));
    const sum = (count: (file: Counts) => number): number => within.reduce((total, file) => total + count(file), 0);
    const percent = (100 * sum((file) => file.coveredLineCount)) / sum((file) => file.totalLineCount);
    console.error(`Lines of ${folder} that ran: ${percent.toFixed(1)} %, at least ${floor} %`);
    return percent >= floor ? [] : [`${folder} has ${percent.toFixed(1)} % of its lines run, and needs ${floor} %`];
  });
}
