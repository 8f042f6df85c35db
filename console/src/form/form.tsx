import { useId, useState } from 'preact/hooks';
import { isObject } from '../rpc/rpc.ts';
import { textOf } from '../rpc/trace.ts';
import { Line } from '../view/text.tsx';
import type { Choice, Field, Member } from './schema.ts';

interface FieldProps<F extends Field = Field> {
  field: F;
  label: string;
  description: string;
  required: boolean;
  value: unknown;
  onchange: (value: unknown) => void;
}

/**
 * The members of an object, each with what it is asked by. `undefined` is a member that is left
 * out.
 */
export function Members({
  members,
  value,
  onchange,
}: {
  members: Member[];
  value: unknown;
  onchange: (value: unknown) => void;
}) {
  const object = isObject(value) ? value : {};
  const set = (name: string, to: unknown): void => {
    // By entries: a member may have the name `__proto__`.
    const others = Object.entries(object).filter(([other]) => other !== name);
    onchange(Object.fromEntries(to === undefined ? others : [...others, [name, to]]));
  };
  return (
    <>
      {members.map(({ name, label, description, required, field }) => (
        <FieldView
          key={name}
          field={field}
          label={label}
          description={description}
          required={required}
          value={Object.hasOwn(object, name) ? object[name] : undefined}
          onchange={(to) => set(name, to)}
        />
      ))}
    </>
  );
}

function FieldView(props: FieldProps) {
  const { field, ...rest } = props;
  switch (field.kind) {
    case 'text':
      return <TextInput {...rest} field={field} />;
    case 'number':
      return <NumberInput {...rest} field={field} />;
    case 'boolean':
      return <Checkbox {...rest} field={field} />;
    case 'choice':
      return <Select {...rest} field={field} />;
    case 'choices':
      return <Checkboxes {...rest} field={field} />;
    case 'group':
      return <Group {...rest} field={field} />;
    case 'json':
      return <JsonInput {...rest} />;
  }
}

function TextInput({ field, value, required, onchange, ...named }: FieldProps<Extract<Field, { kind: 'text' }>>) {
  const id = useId();
  const shared = {
    id,
    required,
    'aria-describedby': `${id}-d`,
    value: typeof value === 'string' ? value : '',
    onInput: (event: { currentTarget: { value: string } }) => onchange(event.currentTarget.value || undefined),
    ...(field.min !== undefined && { minLength: field.min }),
    ...(field.max !== undefined && { maxLength: field.max }),
  };
  return (
    <Labelled id={id} required={required} {...named}>
      {field.multiline ? (
        <textarea rows={3} {...shared} />
      ) : (
        <input
          {...inputType(field.format)}
          placeholder={field.placeholder}
          autoComplete="off"
          spellcheck={false}
          {...shared}
        />
      )}
    </Labelled>
  );
}

/** One object each, because the types of the attributes go by the type of the input. */
function inputType(format: Extract<Field, { kind: 'text' }>['format']) {
  switch (format) {
    case 'email':
      return { type: 'email' } as const;
    case 'url':
      return { type: 'url' } as const;
    case 'date':
      return { type: 'date' } as const;
    case 'text':
      return { type: 'text' } as const;
  }
}

function NumberInput({ field, value, required, onchange, ...named }: FieldProps<Extract<Field, { kind: 'number' }>>) {
  const id = useId();
  return (
    <Labelled id={id} required={required} {...named}>
      <input
        id={id}
        type="number"
        required={required}
        aria-describedby={`${id}-d`}
        step={field.integer ? 1 : 'any'}
        {...(field.min !== undefined && { min: field.min })}
        {...(field.max !== undefined && { max: field.max })}
        value={typeof value === 'number' ? value : ''}
        onInput={({ currentTarget: { value: typed } }) => onchange(typed === '' ? undefined : Number(typed))}
      />
    </Labelled>
  );
}

function Checkbox({ label, description, value, onchange }: FieldProps<Extract<Field, { kind: 'boolean' }>>) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={value === true}
        onChange={({ currentTarget }) => onchange(currentTarget.checked)}
      />
      <span>
        <Line>{label}</Line>
        {description && (
          <small>
            <Line most={500}>{description}</Line>
          </small>
        )}
      </span>
    </label>
  );
}

function Select({ field, value, required, onchange, ...named }: FieldProps<Extract<Field, { kind: 'choice' }>>) {
  const id = useId();
  const chosen = field.choices.findIndex((choice) => choice.value === value);
  return (
    <Labelled id={id} required={required} {...named}>
      <select
        id={id}
        required={required}
        aria-describedby={`${id}-d`}
        value={chosen < 0 ? '' : String(chosen)}
        onChange={({ currentTarget }) => onchange(field.choices[Number(currentTarget.value || -1)]?.value)}
      >
        <option value="">—</option>
        {field.choices.map(({ label }, n) => (
          <option key={n} value={String(n)}>
            <Line>{label}</Line>
          </option>
        ))}
      </select>
    </Labelled>
  );
}

function Checkboxes({ field, label, description, value, onchange }: FieldProps<Extract<Field, { kind: 'choices' }>>) {
  const chosen: unknown[] = Array.isArray(value) ? value : [];
  const toggle = ({ value: of }: Choice, on: boolean): void =>
    onchange(on ? [...chosen, of] : chosen.filter((other) => other !== of));
  return (
    <fieldset>
      <Legend label={label} description={description} />
      {field.choices.map((choice, n) => (
        <label key={n} class="check">
          <input
            type="checkbox"
            checked={chosen.includes(choice.value)}
            onChange={({ currentTarget }) => toggle(choice, currentTarget.checked)}
          />
          <Line>{choice.label}</Line>
        </label>
      ))}
    </fieldset>
  );
}

const Group = ({ field, label, description, value, onchange }: FieldProps<Extract<Field, { kind: 'group' }>>) => (
  <fieldset>
    <Legend label={label} description={description} />
    <Members members={field.members} value={value} onchange={onchange} />
  </fieldset>
);

/** Anything, as JSON; what is not JSON yet is said, and not taken. */
export function JsonInput({ value, required, onchange, ...named }: Omit<FieldProps, 'field'>) {
  const id = useId();
  const [typed, setTyped] = useState(value === undefined ? '' : textOf(value, 2));
  const [wrong, setWrong] = useState('');
  const change = (text: string): void => {
    setTyped(text);
    try {
      onchange(text.trim() === '' ? undefined : (JSON.parse(text) as unknown));
      setWrong('');
    } catch (error) {
      setWrong((error as Error).message);
    }
  };
  return (
    <Labelled id={id} required={required} {...named} wrong={wrong && `Not JSON yet: ${wrong}`}>
      <textarea
        id={id}
        class="code"
        rows={4}
        spellcheck={false}
        aria-describedby={`${id}-d`}
        aria-invalid={wrong !== ''}
        value={typed}
        placeholder="JSON"
        onInput={({ currentTarget }) => change(currentTarget.value)}
      />
    </Labelled>
  );
}

interface LabelledProps {
  id: string;
  label: string;
  description: string;
  required: boolean;
  wrong?: string;
  children: preact.ComponentChildren;
}

export function Labelled({ id, label, description, required, wrong = '', children }: LabelledProps) {
  return (
    <div class="field">
      <div class="field-head">
        <label for={id}>
          <Line>{label}</Line>
        </label>
        {!required && <span class="optional">optional</span>}
      </div>
      {children}
      <small id={`${id}-d`} class={wrong ? 'wrong' : ''}>
        <Line most={500}>{wrong || description}</Line>
      </small>
    </div>
  );
}

const Legend = ({ label, description }: { label: string; description: string }) => (
  <legend>
    <Line>{label}</Line>
    {description && (
      <small>
        {' '}
        <Line most={500}>{description}</Line>
      </small>
    )}
  </legend>
);
