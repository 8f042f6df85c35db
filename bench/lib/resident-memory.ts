import { readFileSync } from 'node:fs';

/** What a process has resident, in MB, as Linux counts it. */
export function residentMb(pid: number | undefined): number {
  const [, kb] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kb) / 1024;
}
