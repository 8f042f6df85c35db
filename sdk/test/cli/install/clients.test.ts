import assert from 'node:assert/strict';
import test from 'node:test';
import { type Account, clientConfig, clientNames } from '../../../src/cli/install/clients.ts';

const account = (given: Partial<Account>): Account => ({
  platform: 'linux',
  env: {},
  home: '/home/ann',
  exists: () => false,
  ...given,
});
const paths = (given: Account) => Object.fromEntries(clientNames.map((name) => [name, clientConfig(name, given).path]));

test('each client has its file where its documentation says', () => {
  assert.deepEqual(paths(account({})), {
    'claude-desktop': '/home/ann/.config/Claude/claude_desktop_config.json',
    'claude-code': '/home/ann/.claude.json',
    cursor: '/home/ann/.cursor/mcp.json',
    vscode: '/home/ann/.config/Code/User/mcp.json',
    codex: '/home/ann/.codex/config.toml',
  });
  assert.deepEqual(paths(account({ platform: 'darwin', home: '/Users/ann' })), {
    'claude-desktop': '/Users/ann/Library/Application Support/Claude/claude_desktop_config.json',
    'claude-code': '/Users/ann/.claude.json',
    cursor: '/Users/ann/.cursor/mcp.json',
    vscode: '/Users/ann/Library/Application Support/Code/User/mcp.json',
    codex: '/Users/ann/.codex/config.toml',
  });
  const home = 'C:\\Users\\ann';
  const env = { APPDATA: `${home}\\AppData\\Roaming`, LOCALAPPDATA: `${home}\\AppData\\Local` };
  const windows = {
    'claude-desktop': `${home}\\AppData\\Roaming\\Claude\\claude_desktop_config.json`,
    'claude-code': `${home}\\.claude.json`,
    cursor: `${home}\\.cursor\\mcp.json`,
    vscode: `${home}\\AppData\\Roaming\\Code\\User\\mcp.json`,
    codex: `${home}\\.codex\\config.toml`,
  };
  assert.deepEqual(paths(account({ platform: 'win32', home, env })), windows);
  assert.deepEqual(paths(account({ platform: 'win32', home })), windows);
});

test('variables of the account and of the clients move the files', () => {
  const env = { XDG_CONFIG_HOME: '/srv/settings', CLAUDE_CONFIG_DIR: '/srv/claude', CODEX_HOME: '/srv/codex' };
  assert.deepEqual(paths(account({ env })), {
    'claude-desktop': '/srv/settings/Claude/claude_desktop_config.json',
    'claude-code': '/srv/claude/.claude.json',
    cursor: '/home/ann/.cursor/mcp.json',
    vscode: '/srv/settings/Code/User/mcp.json',
    codex: '/srv/codex/config.toml',
  });
  const relative = account({ env: { XDG_CONFIG_HOME: 'settings' } });
  assert.equal(clientConfig('vscode', relative).path, '/home/ann/.config/Code/User/mcp.json');
});

test('Claude Desktop as a Windows package has its files in the folder of the package', () => {
  const home = 'C:\\Users\\ann';
  const folder = `${home}\\AppData\\Local\\Packages\\Claude_pzs8sxrjxfjjc\\LocalCache\\Roaming\\Claude`;
  const packaged = account({ platform: 'win32', home, exists: (path) => path === folder });
  assert.equal(clientConfig('claude-desktop', packaged).path, `${folder}\\claude_desktop_config.json`);
});
