const paths = {
  copy: 'M5.5 5.5V3A1.5 1.5 0 0 1 7 1.5h6A1.5 1.5 0 0 1 14.5 3v6A1.5 1.5 0 0 1 13 10.5h-2.5M3 5.5h6A1.5 1.5 0 0 1 10.5 7v6A1.5 1.5 0 0 1 9 14.5H3A1.5 1.5 0 0 1 1.5 13V7A1.5 1.5 0 0 1 3 5.5Z',
  save: 'M8 2v8.5M4.5 7 8 10.5 11.5 7M2.5 13.5h11',
  check: 'm3 8.5 3.5 3.5L13 4.5',
  cross: 'm4 4 8 8M12 4l-8 8',
  lock: 'M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5',
  share: 'M8 10V2M5 4.5 8 1.8l3 2.7M3.5 7.5v6h9v-6',
  down: 'm4 6 4 4 4-4',
  up: 'M8 13V3M4 7l4-4 4 4',
} as const;

export type IconName = keyof typeof paths;

/** Decoration: what it means is said by the text beside it, or the label around it. */
export const Icon = ({ name }: { name: IconName }) => (
  <svg class="glyph" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
    <path d={paths[name]} />
  </svg>
);
