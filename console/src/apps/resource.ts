import { isLoopbackName } from '../invite/read.ts';
import { home } from '../place.ts';
import { isObject } from '../rpc/rpc.ts';
import { type AppPolicy, policyOf } from './policy.ts';
import { appType } from './tool.ts';

/** An app as the server gave it. */
export interface AppResource {
  /** Its document, which begins with its policy. */
  html: string;
  policy: AppPolicy;
}

/** Characters of HTML; more is no page but a download. */
const mostHtml = 10_000_000;

/**
 * Makes an app's document of the response to `resources/read`.
 *
 * @throws Error with a sentence for the developer of the server
 */
export function readApp(result: unknown, uri: string): AppResource {
  const contents = isObject(result) && Array.isArray(result['contents']) ? result['contents'] : [];
  const found = contents.filter(isObject).find((content) => content['uri'] === uri);
  if (!found) throw new Error('The response has no contents with the URI of the app.');
  const { mimeType, text, blob, _meta: meta } = found;
  if (typeof mimeType !== 'string' || mimeType.replaceAll(' ', '').toLowerCase() !== appType)
    throw new Error(`The app is not of the type ${appType}. Set mimeType in the contents.`);
  const html = typeof text === 'string' ? text : typeof blob === 'string' ? decode(blob) : undefined;
  if (html === undefined) throw new Error('The app has neither text nor a blob in base64.');
  if (html.length > mostHtml) throw new Error(`The app has more than ${mostHtml / 1e6} million characters.`);
  const ui = isObject(meta) ? meta['ui'] : undefined;
  const isLocal = isLoopbackName(new URL(home).hostname);
  const policy = policyOf(isObject(ui) ? ui['csp'] : undefined, isLocal);
  return { html: `${head(policy)}${html.replace(/^\uFEFF/, '')}`, policy };
}

/**
 * A policy counts from where it stands in a document: nothing of the server's comes before it, and
 * nothing after it can take it back. The parser ignores a second doctype, `<html>` and `<head>`.
 */
const head = ({ text }: AppPolicy): string =>
  `<!doctype html><meta http-equiv="Content-Security-Policy" content="${text}"><meta name="referrer" content="no-referrer"><meta http-equiv="x-dns-prefetch-control" content="off">`;

function decode(base64: string): string | undefined {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
  } catch {
    return undefined;
  }
}
