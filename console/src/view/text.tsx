import { useState } from 'preact/hooks';
import { textOf } from '../rpc/trace.ts';
import { Icon } from './icon.tsx';
import { useNotice } from './notice.tsx';

/** Characters of a text that are shown at once. */
const shownAtOnce = 20_000;

/**
 * Makes visible what a text may hide: control characters, and those that turn the writing around
 * (CVE-2021-42574) or have no width. Line feeds and tabs stay.
 */
export const visible = (text: string): string =>
  text.replaceAll(hidden, (char) => {
    const code = char.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x24_00 + code);
    return code === 0x7f ? '\u2421' : `\u27E8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27E9`;
  });

// oxlint-disable-next-line no-control-regex -- these are what it is about
const hidden = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF]/g;

/** A text of one line, such as a name, cut to a length. */
export function Line({ children, most = 200 }: { children: unknown; most?: number }) {
  const text = typeof children === 'string' ? children : textOf(children);
  return <>{visible(text.length > most ? `${text.slice(0, most)}…` : text).replaceAll('\n', ' ')}</>;
}

/** A text of any length and content, as it is: never markup. */
export function Text({ text, label, save }: { text: string; label: string; save?: string | undefined }) {
  const [most, setMost] = useState(shownAtOnce);
  const notice = useNotice();
  const rest = text.length - most;
  const copy = async (): Promise<void> => {
    if (!isSecureContext) return notice('Copying needs https or localhost. Select the text instead.');
    await navigator.clipboard.writeText(text).then(
      () => notice('Copied.'),
      () => notice('The browser blocked copying. Select the text instead.'),
    );
  };
  return (
    <div class="text">
      <pre tabIndex={0} aria-label={label} role="region">
        {visible(text.slice(0, most))}
        {rest > 0 && '…'}
      </pre>
      <div class="text-tools">
        {rest > 0 && (
          <button type="button" class="quiet" onClick={() => setMost(most + 5 * shownAtOnce)}>
            Show more ({size(rest)} left)
          </button>
        )}
        <button type="button" class="icon" aria-label={`Copy: ${label}`} title="Copy" onClick={() => void copy()}>
          <Icon name="copy" />
        </button>
        {(save || rest > 0) && (
          <button
            type="button"
            class="icon"
            aria-label={`Save: ${label}`}
            title="Save as a file"
            onClick={() => saveFile(new Blob([text], { type: 'text/plain' }), save ?? 'text.txt')}
          >
            <Icon name="save" />
          </button>
        )}
      </div>
    </div>
  );
}

export const Json = ({ value, label }: { value: unknown; label: string }) => (
  <Text text={textOf(value, 2)} label={label} />
);

/** Characters, or bytes, in short. */
export function size(count: number): string {
  if (count < 1000) return `${count}`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)} k`;
  return `${(count / 1_000_000).toFixed(1)} M`;
}

export function bytes(count: number): string {
  return `${size(Math.round(count))}B`.replace(/^(\d+)B$/, '$1 B');
}

/** Milliseconds; browsers round them, so that there are none below one. */
export const ms = (value: number): string =>
  value < 1
    ? '< 1 ms'
    : value < 10
      ? `${value.toFixed(1)} ms`
      : value < 10_000
        ? `${Math.round(value)} ms`
        : `${(value / 1000).toFixed(1)} s`;

/** A time in words, from seconds. */
export function ago(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** Lets the browser save something under a name, which is not the server's to choose freely. */
export function saveFile(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name.replaceAll(/[^\w.-]+/g, '_').slice(0, 80) || 'file';
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
