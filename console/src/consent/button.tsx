import type { ComponentChildren } from 'preact';
import { useSettled } from './hook.ts';

interface SettledButtonProps {
  /** Everything that the person has to know before the press: another text is another decision. */
  standsFor: string;
  /** Without it the button submits its form. */
  onPress?: () => void;
  class?: string;
  label?: string;
  children: ComponentChildren;
}

/**
 * A button for what cannot be taken back: a consent, or a removal. It does nothing for 0.8 s after
 * it has appeared, moved, or come to stand for something else, whether it is pressed with a
 * pointer, a key or by assistive technology. It keeps the focus meanwhile.
 */
export function SettledButton({ standsFor, onPress, class: look, label, children }: SettledButtonProps) {
  const { ref, live, admit } = useSettled<HTMLButtonElement>(standsFor);
  return (
    <button
      ref={ref}
      type={onPress ? 'button' : 'submit'}
      class={look}
      aria-label={label}
      aria-disabled={!live}
      onClick={(event) => {
        if (admit()) onPress?.();
        else event.preventDefault();
      }}
    >
      {children}
    </button>
  );
}

interface SettledLinkProps {
  href: string;
  /** The person opens it. */
  onOpen?: (() => void) | undefined;
  children: ComponentChildren;
}

/**
 * The same for a link that opens another page, named by somebody who may name another one at any
 * time.
 */
export function SettledLink({ href, onOpen, children }: SettledLinkProps) {
  const { ref, live, admit } = useSettled<HTMLAnchorElement>(href);
  const open = (event: Event): void => {
    if (admit()) onOpen?.();
    else event.preventDefault();
  };
  return (
    <a
      ref={ref}
      href={href}
      target="_blank"
      rel="noopener noreferrer"
      aria-disabled={!live}
      onClick={open}
      onAuxClick={open}
    >
      {children}
    </a>
  );
}
