import { SettledButton } from './button.tsx';

/** In place of the answers to a question that nobody waits for any more. */
export function Withdrawn({ n, by, ondismiss }: { n: number; by: string; ondismiss: (n: number) => void }) {
  return (
    <div class="row">
      <p class="withdrawn" role="status">
        The {by} has withdrawn this.
      </p>
      <SettledButton standsFor={`withdrawn ${n}`} onPress={() => ondismiss(n)}>
        Dismiss
      </SettledButton>
    </div>
  );
}
