import { asText, isObject } from '../rpc/rpc.ts';

/** How a value is asked for. What this does not know is asked for as JSON. */
export type Field =
  | {
      kind: 'text';
      multiline: boolean;
      format: 'email' | 'url' | 'date' | 'text';
      placeholder: string;
      min?: number;
      max?: number;
    }
  | { kind: 'number'; integer: boolean; min?: number; max?: number }
  | { kind: 'boolean' }
  | { kind: 'choice'; choices: Choice[] }
  | { kind: 'choices'; choices: Choice[] }
  | { kind: 'group'; members: Member[] }
  | { kind: 'json' };

export interface Choice {
  label: string;
  value: unknown;
}

export interface Member {
  name: string;
  label: string;
  description: string;
  required: boolean;
  initial: unknown;
  field: Field;
}

/**
 * A schema comes from somebody else's server: what is deeper, wider or longer than anyone fills in
 * is asked for as JSON.
 */
const deepest = 4;
const mostMembers = 60;
const mostChoices = 500;

/**
 * Reads a JSON Schema (of any draft, as far as forms go). Never fails, and takes a bounded time.
 */
export function readSchema(schema: unknown): Field {
  return fieldOf(schema, schema, 0);
}

function fieldOf(given: unknown, root: unknown, depth: number): Field {
  const schema = resolve(given, root);
  const choices = choicesOf(schema);
  if (choices) return { kind: 'choice', choices };
  switch (typeOf(schema)) {
    case 'string':
      return textField(schema);
    case 'number':
    case 'integer':
      return { kind: 'number', integer: typeOf(schema) === 'integer', ...bounds(schema, 'minimum', 'maximum') };
    case 'boolean':
      return { kind: 'boolean' };
    case 'array': {
      const items = choicesOf(resolve(schema['items'], root));
      return items ? { kind: 'choices', choices: items } : { kind: 'json' };
    }
    case 'object':
      return groupField(schema, root, depth);
    default:
      return { kind: 'json' };
  }
}

function groupField(schema: Record<string, unknown>, root: unknown, depth: number): Field {
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  const names = Object.keys(properties);
  const free = depth > 0 && names.length === 0;
  if (depth >= deepest || names.length > mostMembers || free) return { kind: 'json' };
  const required = Array.isArray(schema['required']) ? schema['required'] : [];
  const members = names.map((name): Member => {
    const member = resolve(properties[name], root);
    return {
      name,
      label: typeof member['title'] === 'string' ? member['title'] : name,
      description: typeof member['description'] === 'string' ? member['description'] : '',
      required: required.includes(name),
      initial: member['default'],
      field: fieldOf(member, root, depth + 1),
    };
  });
  return { kind: 'group', members };
}

function textField(schema: Record<string, unknown>): Field {
  const format = asText(schema['format']);
  const { min, max } = bounds(schema, 'minLength', 'maxLength');
  return {
    kind: 'text',
    multiline:
      max === undefined
        ? format === '' && /prompt|text|content|body|message/i.test(asText(schema['title']))
        : max > 200,
    format: format === 'email' || format === 'date' ? format : format === 'uri' ? 'url' : 'text',
    placeholder: format === 'date-time' ? '2026-01-31T12:00:00Z' : format === 'uri' ? 'https://' : '',
    ...(min !== undefined && { min }),
    ...(max !== undefined && { max }),
  };
}

function bounds(schema: Record<string, unknown>, least: string, most: string): { min?: number; max?: number } {
  const [min, max] = [schema[least], schema[most]];
  return { ...(typeof min === 'number' && { min }), ...(typeof max === 'number' && { max }) };
}

/** `enum`, `const`, or MCP's `oneOf` / `anyOf` of titled constants. */
function choicesOf(schema: Record<string, unknown>): Choice[] | undefined {
  const { enum: values, enumNames, oneOf, anyOf, const: only } = schema;
  if (only !== undefined) return [{ label: labelOf(only), value: only }];
  if (Array.isArray(values)) {
    const names = Array.isArray(enumNames) ? enumNames : [];
    return values.slice(0, mostChoices).map((value: unknown, n) => ({ label: labelOf(names[n] ?? value), value }));
  }
  const titled = Array.isArray(oneOf) ? oneOf : anyOf;
  if (!Array.isArray(titled) || titled.length === 0) return undefined;
  if (!titled.every((option): option is Record<string, unknown> => isObject(option) && 'const' in option))
    return undefined;
  return titled.slice(0, mostChoices).map(({ const: value, title }) => ({ label: labelOf(title ?? value), value }));
}

const labelOf = (value: unknown): string =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 200);

/** The one type that is not null. */
function typeOf({ type, properties }: Record<string, unknown>): unknown {
  if (type === undefined && isObject(properties)) return 'object';
  if (!Array.isArray(type)) return type;
  const others = type.filter((name) => name !== 'null');
  return others.length === 1 ? others[0] : undefined;
}

/**
 * Follows references within the schema, and an alternative to null; a few steps, because they may
 * go in circles.
 */
function resolve(schema: unknown, root: unknown): Record<string, unknown> {
  let found: unknown = schema;
  for (let steps = 0; steps < 8; steps++) {
    if (!isObject(found)) return {};
    const { $ref: reference, anyOf } = found;
    if (typeof reference === 'string') {
      found = { ...lookUp(reference, root), ...without(found, '$ref') };
    } else if (Array.isArray(anyOf) && anyOf.some(isNull) && anyOf.length === 2) {
      found = { ...(anyOf.find((option) => !isNull(option)) as object), ...without(found, 'anyOf') };
    } else return found;
  }
  return {};
}

const isNull = (option: unknown): boolean => isObject(option) && option['type'] === 'null';

function without(schema: Record<string, unknown>, name: string): Record<string, unknown> {
  const { [name]: _, ...rest } = schema;
  return rest;
}

/** RFC 6901, in a fragment. */
function lookUp(reference: string, root: unknown): Record<string, unknown> {
  if (!reference.startsWith('#/')) return {};
  let found: unknown = root;
  for (const part of reference.slice(2).split('/').slice(0, 20)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    found = isObject(found) && Object.hasOwn(found, name) ? found[name] : undefined;
  }
  return isObject(found) ? found : {};
}

/** What a form begins with: the defaults. */
export function initialOf(field: Field, initial: unknown): unknown {
  if (field.kind !== 'group') return initial;
  const given = isObject(initial) ? initial : {};
  const entries = field.members
    .map(({ name, field: member, initial: own }) => [name, initialOf(member, given[name] ?? own)] as const)
    .filter(([, value]) => value !== undefined);
  return entries.length > 0 || initial !== undefined ? Object.fromEntries(entries) : undefined;
}
