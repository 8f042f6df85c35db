/** Loopback, and the private and link-local addresses of RFC 1918, 3927, 4193 and 4291. */
const form =
  /^(?:(?:.+\.)?localhost|(?:127|10)(?:\.\d+){3}|(?:192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d+){2}|\[(?:::1|f[cd][\da-f]{2}:.*|fe[89ab][\da-f]:.*)\])$/;

/**
 * Whether only this machine or its own network can be meant, so that TLS may be left out.
 *
 * @param hostname as `URL` has it: in lower case, addresses in their one form, IPv6 in brackets
 */
export const isPrivateHost = (hostname: string): boolean => form.test(hostname);
