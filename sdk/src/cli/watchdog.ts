import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/**
 * Reads which process groups there are. Its input ends with this process, however that ends: then
 * the groups are given the same as by `Child.close()`, two seconds to leave by themselves, SIGTERM,
 * two more seconds, SIGKILL.
 */
const script = `
groups=' '
while read -r change group; do
  case $change in
    +) groups="$groups$group " ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for signal in TERM KILL; do
  alive=' '
  for group in $groups; do kill -0 "-$group" && alive="$alive$group "; done
  groups=$alive
  [ "$groups" = ' ' ] && exit
  sleep 2
  for group in $groups; do kill "-$signal" "-$group"; done
done
`;

let input: Writable | undefined;

/**
 * From now on the group ends when this process is killed: a server that ignores the end of its
 * input would stay for ever.
 */
export function watch(group: number): void {
  input ??= start();
  input.write(`+ ${group}\n`);
}

/** The group is gone; its number may be another one's soon. */
export function unwatch(group: number): void {
  input?.write(`- ${group}\n`);
}

function start(): Writable {
  const { PATH = '' } = process.env;
  const env = { PATH }; // for `sleep`: it outlives this process, and needs no secret
  const shell = spawn('/bin/sh', ['-c', script], { env, detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  // Without a shell, or when somebody ends it, servers end with their input only.
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  shell.unref();
  (shell.stdin as Socket).unref(); // neither of them keeps this process alive
  return shell.stdin;
}
