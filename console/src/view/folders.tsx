import type { Root } from '../mcp/types.ts';

interface FoldersProps {
  id: string;
  value: string;
  onchange: (value: string) => void;
}

/** A field for the folders that a server may know of. */
export const Folders = ({ id, value, onchange }: FoldersProps) => (
  <div class="field">
    <label for={id}>Folders, one per line</label>
    <textarea
      id={id}
      class="code"
      rows={3}
      placeholder="file:///home/me/project"
      value={value}
      onInput={({ currentTarget }) => onchange(currentTarget.value)}
    />
    <small>Each begins with file://. There are {rootsOf(value).length}.</small>
  </div>
);

/** What the field stands for. */
export const rootsOf = (text: string): Root[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('file://'))
    .map((uri) => ({ uri, name: uri.split('/').findLast((part) => part !== '') ?? uri }));
