import { isObject } from '../rpc/rpc.ts';

/** The one type of apps that there is. */
export const appType = 'text/html;profile=mcp-app';

/** What this client says of itself by `extensions` in its capabilities. */
export const appsExtension = { 'io.modelcontextprotocol/ui': { mimeTypes: [appType] } };

/** What a tool says about apps, in its `_meta.ui`. */
export interface ToolUi {
  /** The app that shows its results. */
  resourceUri: string | undefined;
  /** Apps of its server may call it. */
  forApps: boolean;
  /** A model may call it. */
  forModels: boolean;
}

/** @param tool as the server lists it */
export function toolUi(tool: object): ToolUi {
  const meta = (tool as Record<string, unknown>)['_meta'];
  const ui = isObject(meta) && isObject(meta['ui']) ? meta['ui'] : {};
  // The flat name is from before the specification was stable.
  const uri = ui['resourceUri'] ?? (isObject(meta) ? meta['ui/resourceUri'] : undefined);
  const { visibility } = ui;
  const visible = (to: string): boolean => !Array.isArray(visibility) || visibility.includes(to);
  return {
    resourceUri: typeof uri === 'string' && uri.startsWith('ui://') ? uri : undefined,
    forApps: visible('app'),
    forModels: visible('model'),
  };
}
