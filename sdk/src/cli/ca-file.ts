import tls from 'node:tls';
import { usage } from './cli-error.ts';
import { readSecretFile } from './connection-flags.ts';

/**
 * Trusts the certificate authorities of `--ca-file`, beside those that Node knows: for all that
 * this process connects to.
 *
 * @throws CliError `bad_option`
 */
export function trustAuthorities(file: string): void {
  const text = readSecretFile('--ca-file', file);
  // Node has it from 22.19 on.
  const { setDefaultCACertificates }: Partial<typeof tls> = tls;
  if (!setDefaultCACertificates) {
    throw usage('--ca-file needs Node.js 22.19 or newer. With this one, set NODE_EXTRA_CA_CERTS to the file instead.');
  }
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (certificates.length === 0) throw new Error('none');
    setDefaultCACertificates([...tls.getCACertificates('default'), ...certificates]);
  } catch {
    throw usage(`The file of --ca-file has no certificates in PEM: ${JSON.stringify(file)}.`);
  }
}
