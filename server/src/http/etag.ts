/** RFC 9110 §13.1.2. A proxy may have made the tag a weak one. */
export const matchesEtag = (given: string | undefined, etag: string): boolean =>
  given !== undefined && given.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
