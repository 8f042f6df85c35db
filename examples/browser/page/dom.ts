/** The page's element with this id. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`This page has no ${type.name} with the id ${id}.`);
  return element;
}

/** A new element with properties and children. */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Shows the state in the page's heading, where screen readers hear of it too. */
export function showState(state: 'waiting' | 'connected' | 'closed', text: string): void {
  const element = byId('state', HTMLElement);
  element.dataset['state'] = state;
  element.textContent = text;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
