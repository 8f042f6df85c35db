import { type CallToolResult, McpServer } from '@modelcontextprotocol/server';
import type { RemotePeer } from 'mcp-rendezvous';
import { pickFiles, takePicture, whereAmI } from './browser.ts';
import type { Gate } from './gate.ts';

const text = (value: string): CallToolResult => ({ content: [{ type: 'text', text: value }] });

/**
 * What this tab has, as an MCP server for one client: some of it for everyone in the room, the rest
 * each time with permission.
 */
export function createTabServer(peer: RemotePeer, gate: Gate): McpServer {
  const server = new McpServer(
    { name: 'shared-tab', title: 'A shared browser tab', version: '1.0.0' },
    {
      instructions:
        'A tab in a user’s browser. Most tools ask the user for permission, so a response may take a while.',
    },
  );

  server.registerTool(
    'clock',
    { title: 'Clock', description: 'Date, time and time zone of the tab.', annotations: { readOnlyHint: true } },
    () =>
      gate.record(peer, 'clock', () =>
        text(`${new Date().toString()} (${Intl.DateTimeFormat().resolvedOptions().timeZone})`),
      ),
  );
  server.registerTool(
    'page',
    {
      title: 'Page',
      description: 'The content of the tab and the browser type.',
      annotations: { readOnlyHint: true },
    },
    () =>
      gate.record(peer, 'page', () => {
        const page = {
          title: document.title,
          address: location.origin,
          language: navigator.language,
          browser: navigator.userAgent,
          window: `${innerWidth} × ${innerHeight}`,
          visible: !document.hidden,
          online: navigator.onLine,
        };
        return { ...text(JSON.stringify(page, undefined, 2)), structuredContent: page };
      }),
  );

  const withPermission = (
    name: string,
    title: string,
    description: string,
    what: string,
    work: () => Promise<CallToolResult>,
    overHttp = false,
  ) =>
    server.registerTool(
      name,
      {
        title,
        description: `${description} The user of the tab is asked each time.`,
        annotations: { readOnlyHint: true },
      },
      ({ mcpReq: { signal } }) =>
        gate.record(peer, name, () => {
          // The person is not asked for what the browser would not give.
          if (!overHttp && !isSecureContext)
            throw new Error(`Browsers allow access to the ${name} only over https or on localhost.`);
          return gate.permit(peer, what, signal, work);
        }),
    );

  withPermission('clipboard', 'Clipboard', 'The text in the clipboard.', 'read the text in your clipboard', async () =>
    text(await navigator.clipboard.readText()),
  );
  withPermission('location', 'Location', 'The location of the device.', 'know where this device is', async () => {
    const place = await whereAmI(navigator.geolocation);
    return { ...text(JSON.stringify(place)), structuredContent: place };
  });
  withPermission('camera', 'Camera', 'One picture from the camera.', 'take one picture with your camera', async () => ({
    content: [{ type: 'image', ...(await takePicture(navigator.mediaDevices)) }],
  }));
  const pick = async () => ({
    content: (await pickFiles()).map((resource) => ({ type: 'resource' as const, resource })),
  });
  withPermission('files', 'Files', 'Files that the user selects.', 'read files that you select', pick, true);
  return server;
}
