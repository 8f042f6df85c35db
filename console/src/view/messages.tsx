import { isObject } from '../rpc/rpc.ts';
import { Content } from './content.tsx';
import { Json, Line } from './text.tsx';

/** Messages of a prompt, or of a conversation that a model is to go on with. */
export function Messages({ messages }: { messages: unknown }) {
  if (!Array.isArray(messages)) return <Json value={messages} label="Messages" />;
  return (
    <ol class="messages">
      {messages.slice(0, 50).map((message: unknown, n) => {
        const { role, content } = isObject(message) ? message : {};
        return (
          <li key={n}>
            <strong>
              <Line most={40}>{role}</Line>
            </strong>
            <Content blocks={Array.isArray(content) ? content : [content]} />
          </li>
        );
      })}
      {messages.length > 50 && <li class="muted">{messages.length - 50} more: see the trace.</li>}
    </ol>
  );
}
