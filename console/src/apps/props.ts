import type { McpSession } from '../mcp/session.ts';
import type { Tool } from '../mcp/types.ts';
import type { Call } from '../view/outcome.tsx';

/** What the view of an app is given. */
export interface AppProps {
  session: McpSession;
  tool: Tool;
  /** Of the app. */
  uri: string;
  /** The call that the app shows. */
  call: Call;
}
