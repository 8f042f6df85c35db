import { posix, win32 } from 'node:path';

export const clientNames = ['claude-desktop', 'claude-code', 'cursor', 'vscode', 'codex'] as const;
export type ClientName = (typeof clientNames)[number];

export interface Account {
  platform: NodeJS.Platform;
  env: NodeJS.ProcessEnv;
  home: string;
  exists: (path: string) => boolean;
}

/** Where a client has the MCP servers of its user, and in which form. */
export interface ClientConfig {
  title: string;
  path: string;
  /** `jsonc`: JSON with comments and trailing commas. */
  format: 'json' | 'jsonc' | 'toml';
  /** Member of the top level that has the servers by name. */
  key: string;
  /** The client expects the member `type` in an entry. */
  typed: boolean;
  reload: string;
}

/** Of the Windows package of Claude Desktop, whose files Windows keeps in a folder of its own. */
const claudePackage = 'Claude_pzs8sxrjxfjjc';

/**
 * The user's configuration file of a client, as its documentation says.
 *
 * @param account where it is; tests pass those of other platforms
 */
export function clientConfig(client: ClientName, account: Account): ClientConfig {
  const { env, home } = account;
  const { join } = account.platform === 'win32' ? win32 : posix;
  const settings = settingsFolder(account);
  switch (client) {
    case 'claude-desktop': {
      const packaged = join(localFolder(account), 'Packages', claudePackage, 'LocalCache', 'Roaming', 'Claude');
      const folder = account.platform === 'win32' && account.exists(packaged) ? packaged : join(settings, 'Claude');
      return {
        title: 'Claude Desktop',
        path: join(folder, 'claude_desktop_config.json'),
        format: 'json',
        key: 'mcpServers',
        typed: false,
        reload: 'Quit Claude Desktop and start it again.',
      };
    }
    case 'claude-code':
      return {
        title: 'Claude Code',
        path: join(env['CLAUDE_CONFIG_DIR'] || home, '.claude.json'),
        format: 'json',
        key: 'mcpServers',
        typed: true,
        reload: 'New sessions of Claude Code have it.',
      };
    case 'cursor':
      return {
        title: 'Cursor',
        path: join(home, '.cursor', 'mcp.json'),
        format: 'jsonc',
        key: 'mcpServers',
        typed: true,
        reload: 'Restart Cursor, and switch the server on in its settings.',
      };
    case 'vscode':
      return {
        title: 'VS Code',
        path: join(settings, 'Code', 'User', 'mcp.json'),
        format: 'jsonc',
        key: 'servers',
        typed: true,
        reload: 'Start it in VS Code with the command "MCP: List Servers".',
      };
    case 'codex':
      return {
        title: 'Codex',
        path: join(env['CODEX_HOME'] || join(home, '.codex'), 'config.toml'),
        format: 'toml',
        key: 'mcp_servers',
        typed: false,
        reload: 'New sessions of Codex have it.',
      };
  }
}

/** Where programs of this account keep their settings. */
export function settingsFolder({ platform, env, home }: Account): string {
  if (platform === 'win32') return env['APPDATA'] || win32.join(home, 'AppData', 'Roaming');
  if (platform === 'darwin') return posix.join(home, 'Library', 'Application Support');
  const configured = env['XDG_CONFIG_HOME'];
  // The XDG specification: a path that is not absolute is ignored.
  return configured && posix.isAbsolute(configured) ? configured : posix.join(home, '.config');
}

const localFolder = ({ env, home }: Account): string => env['LOCALAPPDATA'] || win32.join(home, 'AppData', 'Local');
