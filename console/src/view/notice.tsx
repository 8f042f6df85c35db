import { signal } from '@preact/signals';

const current = signal<{ n: number; text: string } | undefined>(undefined);
let timer: ReturnType<typeof setTimeout> | undefined;

/** Says something short that needs no answer. */
export function useNotice(): (text: string) => void {
  return (text) => {
    clearTimeout(timer);
    current.value = { n: (current.value?.n ?? 0) + 1, text };
    timer = setTimeout(() => (current.value = undefined), 3000);
  };
}

/** Where it is said: once in the page. */
export function Notice() {
  return (
    <div class="notice" role="status" aria-live="polite">
      {current.value && <span key={current.value.n}>{current.value.text}</span>}
    </div>
  );
}
