import type { Writable } from 'node:stream';
import { readSecret, relayUrl, tokenSource } from '../connection-flags.ts';
import type { DoctorFlags } from '../program.ts';
import { variables } from '../variables.ts';
import { doctor } from './doctor.ts';
import { type Finding, format } from './finding.ts';

/**
 * The command `doctor`: prints what it finds, line by line or, with `--json`, as one object on one line when it is through. Resolves with
 * whether nothing failed.
 *
 * @throws CliError `bad_option`
 */
export async function report(
  flags: DoctorFlags,
  env: NodeJS.ProcessEnv,
  output: Writable,
  stop: AbortSignal,
): Promise<boolean> {
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const findings: Finding[] = [];
  await doctor({
    relay,
    // A token that is missing is a finding, not a mistake: the relay is worth a look without one.
    token: () => {
      const source = tokenSource(flags.tokenFile, env[variables.token], 'client');
      return typeof source === 'string' ? source : source();
    },
    ...readSecret(flags, env),
    join: flags.join ?? false,
    peer: flags.peer,
    debug: flags.debug ?? false,
    report: (finding) => {
      findings.push(finding);
      if (!flags.json) output.write(`${format(finding)}\n`);
    },
    stop,
  });
  const ok = findings.every(({ status }) => status !== 'fail');
  if (flags.json) output.write(`${JSON.stringify({ ok, relay, findings })}\n`);
  return ok;
}
