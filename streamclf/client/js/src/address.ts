// Where a daemon is, from what people write.

import { StreamclfError } from "./errors.js";

export const DEFAULT_ADDRESS = "ws://127.0.0.1:8765/v1";
const SCHEMES: Record<string, string> = { "ws:": "ws:", "http:": "ws:", "wss:": "wss:", "https:": "wss:" };
/** What a name of a websocket subprotocol may be made of. */
const PLAIN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** token: the one that stood in the address, which `url` no longer holds. */
export interface Address {
  url: string;
  token: string | null;
}

/** `ws://`, `http://` or `host[:port]`, also a page's address with `?token=`. Without a scheme the port is 8765. */
export function parseAddress(text: string): Address {
  const schemed = text.includes("://");
  let parsed: URL;
  try {
    parsed = new URL(schemed ? text : `ws://${text}`);
  } catch {
    throw new StreamclfError(`the address '${text}' cannot be used; expected something like ${DEFAULT_ADDRESS}`);
  }
  const scheme = SCHEMES[parsed.protocol];
  if (!scheme) throw new StreamclfError(`the address '${text}' begins with ${parsed.protocol}; expected ws: or http:`);
  if (!schemed && !/:\d+(\/|\?|$)/.test(text)) parsed.port = "8765";
  const path = parsed.pathname.endsWith("/") ? `${parsed.pathname}v1` : parsed.pathname;
  return { url: `${scheme}//${parsed.host}${path}`, token: parsed.searchParams.get("token") };
}

/** A browser can set no header on a websocket: the token goes along as a subprotocol, or else in the address. */
export function withToken(url: string, protocol: string, token: string | null): [url: string, protocols: string[]] {
  if (!token) return [url, [protocol]];
  if (PLAIN.test(token)) return [url, [protocol, `token.${token}`]];
  return [`${url}?token=${encodeURIComponent(token)}`, [protocol]];
}
