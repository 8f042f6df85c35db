import type { Writable } from 'node:stream';
import {
  type Connection,
  readClaims,
  readIceServers,
  readSecret,
  readSecretFile,
  relayUrl,
  tokenSource,
} from '../connection-flags.ts';
import {
  type ConnectionSource,
  givenInvitation,
  invitedConnection,
  isUnconfigured,
  readInvitation,
} from '../find-connection.ts';
import { installedInvitations } from '../install/installation.ts';
import { thisAccount } from '../invitations/account.ts';
import { warnSeconds } from '../invitations/print-invitation.ts';
import { CliError, usage } from '../cli-error.ts';
import type { DoctorFlags } from '../program.ts';
import { printable } from '../log.ts';
import { variables } from '../variables.ts';
import { doctor } from './doctor.ts';
import { type Finding, format } from './finding.ts';

export interface DoctorInput {
  argument: string | undefined;
  env: NodeJS.ProcessEnv;
  /** Asks for an invitation; undefined where there is nobody. */
  ask: (() => Promise<string>) | undefined;
}

/**
 * The command `doctor`: prints what it finds, line by line or, with `--json`, as one object on one
 * line when it is through; the verdict comes last. Resolves with whether nothing failed.
 *
 * @throws CliError `bad_option`
 */
export async function report(
  flags: DoctorFlags,
  { argument, env, ask }: DoctorInput,
  output: Writable,
  stop: AbortSignal,
): Promise<boolean> {
  const source = { argument, flags, env };
  const text = givenInvitation(source) ?? (await otherInvitation(source, ask));
  const invited = text === undefined ? undefined : invitedConnection(text, readInvitation(text).role);
  const relay = invited?.relay ?? relayUrl(flags.relay ?? env[variables.relay]);
  const given = await currentToken(invited, flags, env);
  const findings: Finding[] = [];
  const verdict = await doctor({
    relay,
    // A token that is missing is a finding, not a mistake: the relay is worth a look without one.
    token: () => {
      if (typeof given === 'string') return given;
      throw given;
    },
    ...(invited ? { secret: invited.secret!, soonSeconds: warnSeconds } : readSecret(flags, env)),
    ...readIceServers(flags, env),
    claims: readClaims(flags.claims),
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
  if (flags.json) output.write(`${JSON.stringify({ ok, relay, findings, verdict })}\n`);
  else if (!stop.aborted) output.write(`\n${printable(verdict.text)}\n`);
  return ok;
}

/** Where nothing is configured: the invitation that `install` keeps, or else a pasted one. */
async function otherInvitation(source: ConnectionSource, ask: DoctorInput['ask']): Promise<string | undefined> {
  if (!isUnconfigured(source)) return undefined;
  const [file, ...more] = installedInvitations(thisAccount(source.env));
  if (file === undefined) return await ask?.();
  if (more.length === 0) return readSecretFile('--invitation-file', file);
  throw usage(
    `Several servers are installed here. Pass --invitation-file with one of them: ${[file, ...more].join(', ')}`,
  );
}

async function currentToken(
  invited: Connection | undefined,
  flags: DoctorFlags,
  env: NodeJS.ProcessEnv,
): Promise<string | CliError> {
  try {
    const source = invited?.token ?? tokenSource(flags, env, 'client');
    return typeof source === 'string' ? source : await source();
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
}
