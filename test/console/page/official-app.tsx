import { App, applyDocumentTheme } from '@modelcontextprotocol/ext-apps';

/** An app as its author writes one, with the extension's SDK. Its buttons do what they say. */

const app = new App({ name: 'official', version: '1.0.0' }, {});
const out = document.createElement('pre');
const show = (name: string, value: unknown): void => out.append(`${name}: ${JSON.stringify(value)}\n`);

app.addEventListener('toolinput', (params) => show('input', params.arguments));
app.addEventListener('toolresult', (params) => show('result', params.structuredContent));
app.addEventListener('hostcontextchanged', (params) => show('changed', Object.keys(params)));
app.onteardown = async () => ({});

const actions: Record<string, () => Promise<unknown>> = {
  'call plain': async () =>
    (await app.callServerTool({ name: 'plain', arguments: { say: 'hello' } })).structuredContent,
  'read a resource': async () => (await app.readServerResource({ uri: 'report:read' })).contents,
  'open a link': () => app.openLink({ url: 'https://docs.example/page?x=1' }),
  'send a message': () => app.sendMessage({ role: 'user', content: [{ type: 'text', text: 'from the app' }] }),
  'tell the model': () => app.updateModelContext({ structuredContent: { chosen: 7 } }),
  log: () => app.sendLog({ level: 'info', data: 'a line' }),
};

await app.connect();
document.body.append(out);
const { theme, toolInfo, displayMode } = app.getHostContext() ?? {};
if (theme) applyDocumentTheme(theme);
show('host', [app.getHostVersion()?.name, displayMode, toolInfo?.tool.name]);
for (const [name, act] of Object.entries(actions)) {
  const button = document.createElement('button');
  button.textContent = name;
  button.addEventListener('click', () => {
    act().then(
      (result) => show(name, result),
      (error: Error) => show(`${name} failed`, error.message),
    );
  });
  document.body.append(button);
}
