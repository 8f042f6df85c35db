import { execFile } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { argv } from 'node:process';
import { promisify } from 'node:util';
import { build } from 'esbuild';

/**
 * Builds the bundle that Claude Desktop and other hosts of MCPB install: `connect` with everything
 * that it needs in one file, which asks its user for one thing, the invitation. Needs no build.
 *
 * Usage: node scripts/mcpb.ts [file, mcp-rendezvous.mcpb unless given]
 */
const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
const tool = join(root, 'node_modules/@anthropic-ai/mcpb/dist/cli/cli.js');
const { version, license, engines } = JSON.parse(readFileSync(join(root, 'sdk/package.json'), 'utf8')) as {
  version: string;
  license: string;
  engines: { node: string };
};

const entryPoint = 'bin/mcp-rendezvous.js';
const manifest = {
  manifest_version: '0.3',
  name: 'mcp-rendezvous',
  display_name: 'mcp-rendezvous',
  version,
  description: 'Uses an MCP server that runs on another machine, by an invitation.',
  long_description:
    'Whoever shares an MCP server with `mcp-rendezvous expose` gets an invitation. Paste it here, and the tools of that server ' +
    'are available. The connection goes from machine to machine where that is possible, and is always encrypted from end to end: ' +
    'the relay that introduces the two cannot read it.',
  author: { name: 'The authors of mcp-rendezvous' },
  license,
  server: {
    type: 'node',
    entry_point: entryPoint,
    mcp_config: {
      command: 'node',
      args: [`\${__dirname}/${entryPoint}`, 'connect'],
      env: { MCP_RENDEZVOUS_INVITATION: '${user_config.invitation}' },
    },
  },
  // What the tools are depends on the other machine.
  tools_generated: true,
  prompts_generated: true,
  user_config: {
    invitation: {
      type: 'string',
      title: 'Invitation',
      description: 'What `mcp-rendezvous expose` printed on the other machine. It begins with mcpr1.',
      sensitive: true,
      required: true,
    },
  },
  compatibility: { platforms: ['darwin', 'win32', 'linux'], runtimes: { node: engines.node } },
};

/** Bundles the command line; returns the folders of the packages that are in it. */
async function bundle(outfile: string): Promise<Set<string>> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['sdk/src/cli/main.ts'],
    outfile,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    conditions: ['mcp-rendezvous-source'],
    // Engines with parts for one platform; without them the SDK uses its own.
    external: ['node-datachannel', '@roamhq/wrtc'],
    banner: { js: "import { createRequire as load } from 'node:module';\nvar require = load(import.meta.url);" },
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  const folders = Object.keys(metafile.inputs).map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return new Set(folders.filter((folder) => folder !== undefined));
}

/** The licences of other people's packages, which their users have to be given. */
function licences(folders: Set<string>): string {
  const texts = [...folders].toSorted().map((folder) => {
    const [file] = globSync('{LICENSE,LICENCE,license,licence}*', { cwd: join(root, folder) });
    const { name, license: kind } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
      name: string;
      license: string;
    };
    return `${name}: ${kind}\n\n${file === undefined ? '' : readFileSync(join(root, folder, file), 'utf8')}`;
  });
  return `${texts.join('\n\n---\n\n')}\n`;
}

const output = resolve(argv[2] ?? join(root, 'mcp-rendezvous.mcpb'));
const folder = mkdtempSync(join(tmpdir(), 'mcpb-'));
try {
  mkdirSync(join(folder, 'dist/cli'), { recursive: true });
  const bundled = await bundle(join(folder, 'dist/cli/main.js'));
  cpSync(join(root, 'sdk/bin'), join(folder, 'bin'), { recursive: true });
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  writeFileSync(join(folder, 'THIRD_PARTY_LICENSES'), licences(bundled));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'mcp-rendezvous', version, type: 'module' }));
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  rmSync(output, { force: true });
  await run(process.execPath, [tool, 'validate', join(folder, 'manifest.json')]);
  await run(process.execPath, [tool, 'pack', folder, output]);
  if (!existsSync(output)) throw new Error('The tool wrote no bundle.');
  console.log(relative('.', output));
} finally {
  rmSync(folder, { recursive: true });
}
