import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A self-signed certificate with its key, in files. */
export interface Certificate {
  certFile: string;
  keyFile: string;
  cert: string;
  key: string;
  remove(): Promise<void>;
}

/** @param names as in OpenSSL's subjectAltName: `IP:127.0.0.1`, `DNS:relay.example` */
export async function createCertificate(names = 'IP:127.0.0.1', days = 30): Promise<Certificate> {
  const directory = await mkdtemp(join(tmpdir(), 'certificate-'));
  const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-days', String(days), '-subj', '/CN=test', '-addext', `subjectAltName=${names}`];
  await promisify(execFile)('openssl', [...kind, ...subject, '-keyout', keyFile, '-out', certFile]);
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
  return { certFile, keyFile, cert, key, remove: () => rm(directory, { recursive: true }) };
}
