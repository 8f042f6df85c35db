/** A change of a text: at `offset`, `removed` became `inserted`. */
export interface TextEdit {
  offset: number;
  removed: string;
  inserted: string;
}

/** How a client starts the server. */
export interface ServerEntry {
  type?: 'stdio';
  command: string;
  args: string[];
}

/** Where an entry is in a configuration: the member with all servers, and the server's name. */
export interface EntryPlace {
  key: string;
  name: string;
}

export const applyEdit = (text: string, { offset, removed, inserted }: TextEdit): string =>
  text.slice(0, offset) + inserted + text.slice(offset + removed.length);

/** Takes an edit back, wherever its text is now; undefined if it is not there exactly once. */
export function revertEdit(text: string, { removed, inserted }: Omit<TextEdit, 'offset'>): string | undefined {
  const offset = text.indexOf(inserted);
  if (inserted === '' || offset < 0 || text.includes(inserted, offset + 1)) return undefined;
  return applyEdit(text, { offset, removed: inserted, inserted: removed });
}

export const lineBreakOf = (text: string): string => (/\r?\n/.exec(text) ?? ['\n'])[0];

/** Why a text cannot be edited. The message has no word of the text, which may have secrets. */
export class UnreadableConfig extends Error {
  override readonly name = 'UnreadableConfig';
}
