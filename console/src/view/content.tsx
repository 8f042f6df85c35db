import { useEffect, useState } from 'preact/hooks';
import { asText, isObject } from '../rpc/rpc.ts';
import { Icon } from './icon.tsx';
import { Json, Line, saveFile, size, Text } from './text.tsx';

/** Blocks of one result that are shown at once. */
const mostBlocks = 50;

/**
 * What a tool, a prompt or a model says, block by block. None of it is ever markup of this page.
 */
export function Content({ blocks, onread }: { blocks: unknown; onread?: ((uri: string) => void) | undefined }) {
  const [most, setMost] = useState(mostBlocks);
  if (!Array.isArray(blocks)) return <Json value={blocks} label="Content" />;
  return (
    <div class="content">
      {blocks.slice(0, most).map((block: unknown, n) => (
        <Block key={n} block={block} label={blocks.length > 1 ? `Part ${n + 1}` : 'Result'} onread={onread} />
      ))}
      {blocks.length > most && (
        <button type="button" class="quiet" onClick={() => setMost(most + mostBlocks)}>
          Show more ({blocks.length - most} left)
        </button>
      )}
      {blocks.length === 0 && <p class="muted">No content.</p>}
    </div>
  );
}

function Block({
  block,
  label,
  onread,
}: {
  block: unknown;
  label: string;
  onread?: ((uri: string) => void) | undefined;
}) {
  if (!isObject(block)) return <Json value={block} label={label} />;
  const { type, text, data, mimeType, resource } = block;
  switch (type) {
    case 'text':
      return <Text text={asText(text)} label={label} />;
    case 'image':
    case 'audio':
      return <Media kind={type} data={asText(data)} mimeType={asText(mimeType)} label={label} />;
    case 'resource':
      return <ResourceContents contents={[resource]} />;
    case 'resource_link':
      return <ResourceLink link={block} onread={onread} />;
    default:
      return <Json value={block} label={label} />;
  }
}

function ResourceLink({
  link,
  onread,
}: {
  link: Record<string, unknown>;
  onread?: ((uri: string) => void) | undefined;
}) {
  const uri = asText(link['uri']);
  return (
    <div class="link">
      <div>
        <strong>
          <Line>{link['title'] ?? link['name'] ?? uri}</Line>
        </strong>
        <code>
          <Line>{uri}</Line>
        </code>
        {typeof link['description'] === 'string' && (
          <span class="muted">
            <Line>{link['description']}</Line>
          </span>
        )}
      </div>
      {onread && (
        <button type="button" onClick={() => onread(uri)}>
          Read
        </button>
      )}
    </div>
  );
}

/** The contents of resources: text, or bytes in base64. */
export function ResourceContents({ contents }: { contents: unknown }) {
  if (!Array.isArray(contents)) return <Json value={contents} label="Contents" />;
  return (
    <div class="content">
      {contents.slice(0, mostBlocks).map((part: unknown, n) => {
        if (!isObject(part)) return <Json key={n} value={part} label="Contents" />;
        const { uri, mimeType, text, blob } = part;
        const name = nameOf(asText(uri));
        return (
          <figure key={n}>
            <figcaption>
              <code>
                <Line>{asText(uri)}</Line>
              </code>{' '}
              <span class="muted">
                <Line>{asText(mimeType)}</Line>
              </span>
            </figcaption>
            {typeof text === 'string' ? (
              <Text text={text} label={`Contents of ${name}`} save={name} />
            ) : (
              <Bytes data={asText(blob)} mimeType={asText(mimeType)} name={name} />
            )}
          </figure>
        );
      })}
    </div>
  );
}

function Bytes({ data, mimeType, name }: { data: string; mimeType: string; name: string }) {
  const kind = /^(image|audio)\//.exec(mimeType)?.[1] as 'image' | 'audio' | undefined;
  if (kind) return <Media kind={kind} data={data} mimeType={mimeType} label={name} />;
  const blob = toBlob(data, 'application/octet-stream');
  if (!blob) return <p class="muted">These bytes are not in base64.</p>;
  return (
    <button type="button" onClick={() => saveFile(blob, name)}>
      <Icon name="save" /> Save {size(blob.size)} bytes
    </button>
  );
}

/** Types that an element for pictures or sounds takes; in an `img` not even SVG runs anything. */
const shownTypes = /^(image\/(png|jpeg|gif|webp|avif|svg\+xml)|audio\/[\w.+-]+)$/;

function Media({
  kind,
  data,
  mimeType,
  label,
}: {
  kind: 'image' | 'audio';
  data: string;
  mimeType: string;
  label: string;
}) {
  const [url, setUrl] = useState<string>();
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    const blob = shownTypes.test(mimeType) ? toBlob(data, mimeType) : undefined;
    if (!blob) return setBroken(true);
    const made = URL.createObjectURL(blob);
    setBroken(false);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data, mimeType]);
  if (broken) {
    return (
      <p class="muted">
        {kind === 'image' ? 'An image' : 'A sound'} of type “<Line most={60}>{mimeType}</Line>” that cannot be shown.
      </p>
    );
  }
  if (!url) return null;
  return kind === 'image' ? (
    <img class="media" src={url} alt={`${label}, an image (${mimeType})`} onError={() => setBroken(true)} />
  ) : (
    // oxlint-disable-next-line jsx-a11y/media-has-caption -- there is nobody who could write one
    <audio class="media" controls src={url} aria-label={label} onError={() => setBroken(true)} />
  );
}

function toBlob(base64: string, type: string): Blob | undefined {
  try {
    const decoded = atob(base64);
    const octets = new Uint8Array(decoded.length);
    for (let n = 0; n < octets.length; n++) octets[n] = decoded.charCodeAt(n);
    return new Blob([octets], { type });
  } catch {
    return undefined;
  }
}

const nameOf = (uri: string): string => uri.split(/[/\\]/).findLast((part) => part !== '') ?? 'resource';
