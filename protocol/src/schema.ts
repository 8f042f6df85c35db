/** A check of data that comes from outside. Members that it does not know are left out. */
export interface Schema<T> {
  /** The data, or what is wrong with it. Never throws. */
  safeParse(value: unknown): Parsed<T>;
  /** @throws an Error that says what is wrong */
  parse(value: unknown): T;
}

export type Parsed<T> =
  | { success: true; data: T; error?: undefined }
  | { success: false; data?: undefined; error: ParseError };

export interface ParseError {
  message: string;
  issues: readonly { path: readonly PropertyKey[]; message: string }[];
}
