import { useEffect, useState } from 'preact/hooks';
import type { McpSession } from '../mcp/session.ts';
import type { Resource, ResourceTemplate } from '../mcp/types.ts';
import { cacheHint } from '../mcp/cache.ts';
import { isObject } from '../rpc/rpc.ts';
import { Cache } from './cache.tsx';
import { Completing } from './completing.tsx';
import { ResourceContents } from './content.tsx';
import { ErrorBox } from './error.tsx';
import { Picker } from './picker.tsx';
import { Line } from './text.tsx';
import { Description } from './description.tsx';

/** Resources, templates of resources, and those that were named in a result. */
export function Resources({ session, open }: { session: McpSession; open: string | undefined }) {
  const [uri, setUri] = useState(open);
  useEffect(() => setUri(open), [open]);
  const templates = session.templates.value;
  const listing = session.resources.value;
  // A resource that was linked to, or made from a template, need not be in the list.
  const named = uri !== undefined && !listing.items.some((item) => item.uri === uri) ? [{ uri, name: uri }] : [];
  const items: (Resource | ResourceTemplate)[] = [...named, ...listing.items, ...templates.items];
  return (
    <Picker
      key={uri}
      noun="resources"
      listing={{ ...listing, items, state: listing.state === 'absent' ? templates.state : listing.state }}
      keyOf={(item) => ('uri' in item ? item.uri : item.uriTemplate)}
      titleOf={(item) => item.title ?? item.name ?? ('uri' in item ? item.uri : item.uriTemplate)}
      detailOf={(item) => ('uri' in item ? item.uri : `Template: ${item.uriTemplate}`)}
      reload={() => session.loadResources()}
      first={uri}
    >
      {(item) =>
        'uri' in item ? (
          <ResourceView key={item.uri} resource={item} session={session} readNow={item.uri === uri} />
        ) : (
          <TemplateView key={item.uriTemplate} template={item} session={session} onread={setUri} />
        )
      }
    </Picker>
  );
}

function ResourceView({ resource, session, readNow }: { resource: Resource; session: McpSession; readNow: boolean }) {
  const { uri } = resource;
  const [result, setResult] = useState<unknown>();
  const [error, setError] = useState<unknown>();
  const updates = session.subscriptions.value.get(uri);
  const read = (): Promise<void> =>
    session.readResource(uri).then(
      (answer) => {
        setResult(answer);
        setError(undefined);
      },
      (reason: unknown) => setError(reason),
    );
  const subscribe = (): Promise<void> =>
    session.subscribe(uri, updates === undefined).catch((reason: unknown) => setError(reason));
  useEffect(() => {
    // Whoever subscribes wants to see what is new.
    if (readNow || (updates !== undefined && updates > 0)) void read();
  }, [updates, readNow]);
  return (
    <article class="card" aria-label={`Resource ${uri.slice(0, 100)}`}>
      <header>
        <h2>
          <Line>{resource.title ?? resource.name ?? uri}</Line>
        </h2>
        <code>
          <Line>{uri}</Line>
        </code>
        {updates !== undefined && <span class="tag">subscribed, {updates} updates</span>}
      </header>
      {resource.description && <Description text={resource.description} />}
      <div class="row">
        <button type="button" class="primary" onClick={() => void read()}>
          Read
        </button>
        {session.canSubscribe() && (
          <button type="button" onClick={() => void subscribe()}>
            {updates === undefined ? 'Subscribe' : 'Unsubscribe'}
          </button>
        )}
      </div>
      <div class="outcome" role="status" aria-live="polite">
        {error !== undefined && <ErrorBox error={error} />}
        {isObject(result) && <Cache hint={cacheHint(result)} />}
        {result !== undefined && <ResourceContents contents={isObject(result) ? result['contents'] : result} />}
      </div>
    </article>
  );
}

/** RFC 6570's expressions: `{name}`, and those with an operator; each name becomes a field. */
const expression = /\{([+#./;?&]?)([^{}]{1,200})\}/g;

interface TemplateProps {
  template: ResourceTemplate;
  session: McpSession;
  onread: (uri: string) => void;
}

function TemplateView({ template: { uriTemplate, title, name, description }, session, onread }: TemplateProps) {
  const [values, setValues] = useState<ReadonlyMap<string, string>>(new Map());
  const names = [...new Set(Array.from(uriTemplate.matchAll(expression), ([, , list = '']) => variables(list)).flat())];
  const uri = expand(uriTemplate, values);
  return (
    <article class="card" aria-label="Resource template">
      <header>
        <h2>
          <Line>{title ?? name ?? uriTemplate}</Line>
        </h2>
        <code>
          <Line>{uriTemplate}</Line>
        </code>
      </header>
      {description && <Description text={description} />}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onread(uri);
        }}
      >
        {names.slice(0, 20).map((variable) => (
          <Completing
            key={variable}
            label={variable}
            description=""
            required
            value={values.get(variable) ?? ''}
            onchange={(value) => setValues(new Map(values).set(variable, value))}
            complete={(value, signal) =>
              session.complete(
                { type: 'ref/resource', uri: uriTemplate },
                variable,
                value,
                Object.fromEntries(values),
                signal,
              )
            }
          />
        ))}
        <p class="muted">
          <code>
            <Line>{uri}</Line>
          </code>
        </p>
        <button type="submit" class="primary">
          Read
        </button>
      </form>
    </article>
  );
}

const variables = (list: string): string[] =>
  list.split(',').map((variable) => variable.replace(/\*$|:\d+$/, '').trim());

/** RFC 6570, as far as strings go. */
function expand(template: string, values: ReadonlyMap<string, string>): string {
  return template.replaceAll(expression, (_, operator: string, list: string) => {
    const reserved = operator === '+' || operator === '#';
    const encode = reserved ? encodeURI : encodeURIComponent;
    const named = ['?', '&', ';'].includes(operator);
    const parts = variables(list).map((name) => `${named ? `${name}=` : ''}${encode(values.get(name) ?? '')}`);
    const first = operator === '+' ? '' : operator;
    const between = operator === '?' || operator === '&' ? '&' : ['.', '/', ';'].includes(operator) ? operator : ',';
    return `${first}${parts.join(between)}`;
  });
}
