import { Line, Text } from './text.tsx';

/** Characters of a description that are shown at once. */
const shortDescription = 600;

/** What a server says about one of its things. */
export const Description = ({ text }: { text: string }) =>
  text.length > shortDescription ? (
    <Text text={text} label="Description" />
  ) : (
    <p class="description">
      <Line most={shortDescription}>{text}</Line>
    </p>
  );
