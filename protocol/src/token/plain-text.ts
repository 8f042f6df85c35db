/**
 * Neither a control character nor half a surrogate pair: what is kept, compared, logged and passed
 * on is text everywhere.
 */
const plain = /^[^\p{Cc}\p{Cs}]*$/u;

/** Whether a text may be the value of a claim, as far as its characters go. */
export const isPlainText = (value: string): boolean => plain.test(value);
