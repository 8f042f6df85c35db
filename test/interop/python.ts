import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed } from './installed.ts';
import { LineProcess, type PeerEvent } from './line-process.ts';

/** Debian's, whose modules python3-aiortc and python3-websockets are. */
const python = '/usr/bin/python3';

/** The virtual environment of scripts/python.sh. */
const virtualEnvironment = (): string => installed('python', ['requirements.txt', 'requirements-2.txt']);

/** An interpreter with version 1 of the MCP SDK for Python, mcp-webrtc and the newest aiortc. */
export const virtualPython = (): string => join(virtualEnvironment(), 'bin/python');

/** Where modules are that come before the interpreter's: version 2 of the MCP SDK, and ours. */
export const pathOfVersion2 = (): string => join(virtualEnvironment(), 'mcp-2');

/** The folder of the package `mcp_rendezvous` for Python. */
export const packageFolder = fileURLToPath(new URL('../../examples/python', import.meta.url));

/**
 * A program of this folder that says in lines of JSON what happens, in a process of its own that
 * ends with the test.
 */
export class PythonProcess<Name extends string = string> extends LineProcess<Name> {
  constructor(
    t: { after(release: () => Promise<void>): void },
    program: string,
    args: string[] = [],
    env: Record<string, string> = {},
    interpreter = python,
  ) {
    const file = fileURLToPath(new URL(program, import.meta.url));
    super(t, 'Python', [interpreter, '-B', file, ...args], env);
  }
}

/** An MCP peer on aiortc. */
export class PythonPeer extends PythonProcess<PeerEvent> {
  constructor(t: { after(release: () => Promise<void>): void }, args: string[], token = '') {
    super(t, 'peer.py', args, { TOKEN: token });
  }
}

/** An MCP peer on the MCP SDK for Python, over mcp-webrtc or over examples/python. */
export class SdkPeer extends PythonProcess<'open' | 'exchange' | 'closed' | 'failed'> {
  constructor(t: { after(release: () => Promise<void>): void }, args: string[], env: Record<string, string> = {}) {
    super(t, 'sdk_peer.py', args, env, virtualPython());
  }
}
