import { usage } from '../cli-error.ts';

/** Names of tools as an operator lists them, each perhaps with commas in it. */
export interface ToolLists {
  /** Only these; undefined: all. */
  allowTools?: string[] | undefined;
  /** None of these, also where they are allowed. */
  denyTools?: string[] | undefined;
}

type Matcher = (tool: string) => boolean;

/** Which of a server's tools clients see and call. */
export class ToolFilter {
  readonly #allowed: readonly Matcher[];
  readonly #denied: Matcher;

  /** @throws CliError `bad_option` for a pattern that is not the name of a tool */
  constructor(lists: readonly ToolLists[]) {
    this.#allowed = lists.flatMap(({ allowTools }) => (allowTools ? anyOf(allowTools) : []));
    this.#denied = anyOf(lists.flatMap(({ denyTools }) => denyTools ?? []));
  }

  /** Whether every list of allowed tools has it, and none of the denied ones. */
  allows(tool: unknown): boolean {
    return typeof tool === 'string' && this.#allowed.every((allows) => allows(tool)) && !this.#denied(tool);
  }
}

/** The filter of these lists; undefined: there is none, and every tool is shared. */
export function toolFilter(...lists: ToolLists[]): ToolFilter | undefined {
  const given = lists.some(({ allowTools, denyTools }) => allowTools !== undefined || denyTools !== undefined);
  return given ? new ToolFilter(lists) : undefined;
}

function anyOf(texts: readonly string[]): Matcher {
  const matchers = texts.flatMap((text) => text.split(',').map((pattern) => matcherOf(pattern.trim())));
  return (tool) => matchers.some((matches) => matches(tool));
}

/**
 * A name in which `*` stands for any characters. It is no regular expression: a client chooses the
 * name that is compared, and must not be able to make that take long.
 */
function matcherOf(pattern: string): Matcher {
  // A pattern of another kind would silently match nothing, and a tool that is denied be shared.
  if (pattern === '' || /[?[\]{}!\\]/.test(pattern)) {
    throw usage(
      `${JSON.stringify(pattern)} is not the name of a tool. --allow-tools, --deny-tools and the lists of an entry take ` +
        'names, separated by commas, in which * stands for any characters.',
    );
  }
  const [first = '', ...others] = pattern.split('*');
  const last = others.pop();
  if (last === undefined) return (tool) => tool === pattern;
  return (tool) => {
    const end = tool.length - last.length;
    if (end < first.length || !tool.startsWith(first) || !tool.endsWith(last)) return false;
    let at = first.length;
    for (const part of others) {
      const found = tool.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}
