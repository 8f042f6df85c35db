import { spawn } from 'node:child_process';

/**
 * Tells systemd that the service is ready, where it waits for that (`Type=notify`,
 * `NotifyAccess=all`). Node.js has no datagram sockets of Unix, so systemd's own command does it.
 */
export function notifyReady({ NOTIFY_SOCKET, PATH = '' }: NodeJS.ProcessEnv): void {
  if (!NOTIFY_SOCKET) return;
  const args = ['--ready', `--pid=${process.pid}`];
  const notify = spawn('systemd-notify', args, { env: { NOTIFY_SOCKET, PATH }, stdio: 'ignore' });
  // Without the command systemd reports that the start took too long.
  notify.on('error', () => {});
  notify.unref();
}
