/** In seconds. */
export const lives = { hour: 3600, day: 86_400, week: 604_800, month: 2_592_000 } as const;

const words = { hour: 'for one hour', day: 'for one day', week: 'for one week', month: 'for 30 days' } as const;

/** How long a token or an invitation counts. */
export const Life = ({ value, onchange }: { value: number; onchange: (seconds: number) => void }) => (
  <select aria-label="Valid" value={value} onChange={({ currentTarget }) => onchange(Number(currentTarget.value))}>
    {(Object.keys(lives) as (keyof typeof lives)[]).map((name) => (
      <option key={name} value={lives[name]}>
        {words[name]}
      </option>
    ))}
  </select>
);
