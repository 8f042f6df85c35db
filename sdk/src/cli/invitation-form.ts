/** Whether the text is meant to be an invitation, or a link with one. */
export const looksLikeInvitation = (text: string): boolean => /^(?:https?:\/\/[^\s#]*#)?mcpr\d/i.test(text);
