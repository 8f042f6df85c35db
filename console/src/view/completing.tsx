import { useEffect, useId, useState } from 'preact/hooks';
import { Labelled } from '../form/form.tsx';
import { visible } from './text.tsx';

interface CompletingProps {
  label: string;
  description: string;
  required: boolean;
  value: string;
  onchange: (value: string) => void;
  /** What the server suggests. */
  complete: (value: string, signal: AbortSignal) => Promise<string[]>;
}

/** A text field whose suggestions come from the server, while one types. */
export function Completing({ value, onchange, complete, ...named }: CompletingProps) {
  const id = useId();
  const [suggestions, setSuggestions] = useState<string[]>([]);
  const [asked, setAsked] = useState(false);
  useEffect(() => {
    if (!asked) return undefined;
    const later = new AbortController();
    const timer = setTimeout(() => {
      complete(value, later.signal).then(
        (found) => !later.signal.aborted && setSuggestions(found),
        () => {},
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      later.abort(new Error('typed on'));
    };
  }, [value, asked]);
  return (
    <Labelled id={id} {...named}>
      <input
        id={id}
        autoComplete="off"
        spellcheck={false}
        required={named.required}
        aria-describedby={`${id}-d`}
        list={`${id}-list`}
        value={value}
        onFocus={() => setAsked(true)}
        onInput={({ currentTarget }) => onchange(currentTarget.value)}
      />
      <datalist id={`${id}-list`}>
        {suggestions.map((suggestion, n) => (
          <option key={n} value={visible(suggestion.slice(0, 200))} />
        ))}
      </datalist>
    </Labelled>
  );
}
