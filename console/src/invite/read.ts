import { createInvitation, type Invitation, parseInvitation } from 'mcp-rendezvous/token';
import { relay, relayNow } from '../place.ts';

/** An invitation as this page understands it: what is in it, or why it is of no use here. */
export interface ReadInvitation {
  invitation?: Invitation;
  /** A sentence: it cannot be used at all, or not in this page. */
  wrong?: string;
  /** The console of the relay to which it leads, where that is another relay. */
  elsewhere?: string;
}

/** Whether a text is meant as an invitation, or as a link with one. */
export const looksLikeInvitation = (text: string): boolean => /^\s*(?:https?:\/\/[^\s#]*#)?mcpr\d/i.test(text);

export function readInvitation(text: string): ReadInvitation {
  let invitation: Invitation;
  try {
    invitation = parseInvitation(text, { now: relayNow() });
  } catch (error) {
    return { wrong: (error as Error).message };
  }
  if (isThisRelay(invitation.relay)) return { invitation };
  const { host } = new URL(invitation.relay);
  return {
    invitation,
    wrong: `This invitation is for the relay ${host}. This page can use only the relay that served it.`,
    elsewhere: consoleOf(invitation.relay),
  };
}

/** The same invitation with the relay's URL as this page knows it. */
export const asHere = ({ token, secret, name }: Invitation): string =>
  createInvitation({ relay, token, secret, ...(name !== undefined && { name }) });

/** A machine has several names for itself, and the relay is the same one. */
export function isThisRelay(url: string): boolean {
  const [one, other] = [comparable(url), comparable(relay)];
  return one.href === other.href;
}

const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

/** This machine by any of its names. */
export const isLoopbackName = (hostname: string): boolean => loopback.test(hostname);

function comparable(given: string): URL {
  const url = new URL(given.replace(/^ws/, 'http'));
  if (isLoopbackName(url.hostname)) url.hostname = 'localhost';
  url.pathname = url.pathname.replace(/\/(?:v1\/connect)?$/, '');
  return url;
}

const consoleOf = (url: string): string => url.replace(/^ws/, 'http').replace(/\/v1\/connect$/, '');
