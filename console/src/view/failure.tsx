import { adviceFor } from '../observe/advice.ts';
import { type Failure, stepLabels } from '../observe/journal.ts';
import { Line } from './text.tsx';

export const FailureCard = ({ failure }: { failure: Failure }) => (
  <section class="failure" role="alert">
    <h2>
      Failed at: {stepLabels[failure.step]} <code>{failure.code}</code>
    </h2>
    <p>
      <Line most={1000}>{failure.message}</Line>
    </p>
    <p>
      <strong>What to do:</strong> {adviceFor(failure.code, failure.step)}
    </p>
  </section>
);
