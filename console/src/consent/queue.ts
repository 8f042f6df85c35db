import { signal } from '@preact/signals';

/** A question to the person at this page. */
export type Question<T> = T & {
  /** Of this page; no two have the same. */
  n: number;
  /** Whoever asked does not wait any more. It is still shown, if it was. */
  withdrawn: boolean;
};

/** One question's place among the others. */
export interface Place {
  /**
   * Takes the question away for its answer. False when it was answered or withdrawn before: then
   * nothing may come of the answer.
   */
  take: () => boolean;
  /** Whoever asked does not wait any more. False when it was answered or withdrawn before. */
  withdraw: () => boolean;
}

let count = 0;

/**
 * Questions to the person at this page, oldest first. The first one is what the page shows. When it
 * is withdrawn it stays until the person has dismissed it, so that no other one comes under a
 * finger that is on its way.
 */
export class Queue<T extends object> {
  readonly questions = signal<readonly Question<T>[]>([]);

  /** How many wait for an answer. */
  get waiting(): number {
    return this.questions.value.filter(({ withdrawn }) => !withdrawn).length;
  }

  /** Adds a question, which is made with its place. Returns the place. */
  add(make: (place: Place) => T): Place {
    const n = ++count;
    let open = true;
    const close = (): boolean => {
      const was = open;
      open = false;
      return was;
    };
    const place: Place = {
      take: () => {
        const first = close();
        if (first) this.#remove(n);
        return first;
      },
      withdraw: () => {
        const first = close();
        if (first) this.#withdraw(n);
        return first;
      },
    };
    this.questions.value = [...this.questions.value, { ...make(place), n, withdrawn: false }];
    return place;
  }

  /** The person has seen that it was withdrawn. */
  dismiss(n: number): void {
    if (this.questions.value.some((question) => question.n === n && question.withdrawn)) this.#remove(n);
  }

  #withdraw(n: number): void {
    const [shown] = this.questions.value;
    if (shown?.n !== n) return this.#remove(n);
    this.questions.value = this.questions.value.map((question) =>
      question.n === n ? { ...question, withdrawn: true } : question,
    );
  }

  #remove(n: number): void {
    this.questions.value = this.questions.value.filter((question) => question.n !== n);
  }
}
