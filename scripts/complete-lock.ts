import { readFile, writeFile } from 'node:fs/promises';
import { exit } from 'node:process';

/**
 * Writes into package-lock.json the platform packages that npm left out of it, and says which.
 *
 * A registry that mirrors only some platforms makes `npm install` drop the others from the lock, and `npm ci` then refuses
 * the lock as out of step with package.json. Their versions are pinned by the package that asks for them, their platform
 * is in their name; integrity is not known here, and npm checks it where it is.
 *
 * Usage, after a dependency changed: node scripts/complete-lock.ts
 */
interface LockEntry {
  optionalDependencies?: Record<string, string>;
  [member: string]: unknown;
}

const path = 'package-lock.json';
const lock = JSON.parse(await readFile(path, 'utf8')) as { packages: Record<string, LockEntry> };
const exactVersion = /^\d+\.\d+\.\d+(-[\w.]+)?$/;
const platform = /(android|darwin|freebsd|linux|openharmony|win32)-(arm64|arm|x64|ia32|ppc64|riscv64|s390x)(?:-|$)/;

const added: string[] = [];
for (const [parent, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (`${parent}/${key}` in lock.packages || key in lock.packages) continue;
    const [, os, cpu] = platform.exec(name) ?? [];
    const libc = os !== 'linux' ? undefined : /musl/.test(name) ? 'musl' : /gnu/.test(name) ? 'glibc' : undefined;
    if (!exactVersion.test(version) || os === undefined || cpu === undefined) {
      console.error(
        `${parent} asks for ${name}@${version}: neither an exact version nor a platform to be read from it`,
      );
      exit(1);
    }
    lock.packages[key] = {
      version,
      cpu: [cpu],
      ...(entry['dev'] === true ? { dev: true } : {}),
      ...(libc === undefined ? {} : { libc: [libc] }),
      optional: true,
      os: [os],
    };
    added.push(`${name}@${version}`);
  }
}

lock.packages = Object.fromEntries(
  Object.entries(lock.packages).toSorted(([left], [right]) => left.localeCompare(right, 'en')),
);
await writeFile(path, `${JSON.stringify(lock, undefined, 2)}\n`);
console.log(added.length === 0 ? 'nothing was missing' : added.join('\n'));
