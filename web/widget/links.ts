// Where links in answers may lead. The server keeps unknown ones out; here it is looked at once more,
// because a link in a shop's own page speaks with the shop's voice.

import type { Decision, Source } from '../shared/wire';

/** What an answer rests on. */
export interface Sourced {
  sources: Source[];
  decision?: Decision | null | undefined;
}

/** The address when a link may be followed at all: plain http(s), without a name in front of the host. */
export function safeHref(href: string): string | undefined {
  try {
    const url = new URL(href);
    return /^https?:$/.test(url.protocol) && !url.username && !url.password ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a host is one that the answer's sources name, the shop's page, or on the server's list
 *  (with its subdomains). Rows that answer by themselves are the shop's own words, links included. */
export function hostsOf({ sources, decision }: Sourced, listed: string[] | null | undefined): (href: string) => boolean {
  if (listed === null || decision === 'direct') return () => true;
  let known: Set<string> | undefined; // few answers have a link at all
  return (href) => {
    known ??= named(sources);
    const { hostname } = new URL(href);
    return known.has(hostname) || !!listed?.some((host) => hostname === host || hostname.endsWith(`.${host}`));
  };
}

/** Hosts that sources name, and the page's. */
function named(sources: Source[]): Set<string> {
  const known = new Set([location.hostname]);
  for (const { url, snippet, title } of sources) {
    for (const [address] of `${url ?? ''} ${snippet} ${title}`.matchAll(/https?:\/\/[^\s<>"'()\u3000-\u9fff\uff00-\uffef]+/gi)) {
      const href = safeHref(address);
      if (href) known.add(new URL(href).hostname);
    }
  }
  return known;
}

/** Where a person can be reached: a page, an address to write to, or a number. */
export function contactHref(contact: string | undefined): string | undefined {
  if (!contact || /^(mailto|tel):/i.test(contact)) return contact;
  return URL.canParse(contact, location.href) ? safeHref(new URL(contact, location.href).href) : undefined;
}
