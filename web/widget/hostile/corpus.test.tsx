import { render } from 'preact';
import { describe, expect, it } from 'vitest';
import { hostsOf, safeHref } from '../links';
import { Markdown } from '../markdown';
import type { Answer } from '../state';
import { hostile } from './corpus';

/** What an answer may be made of, with the attributes of each. */
const ALLOWED: Record<string, string[]> = {
  DIV: ['class', 'tabindex'], P: [], SPAN: ['class'], BR: [], HR: [], UL: [], OL: ['start'], LI: [], BLOCKQUOTE: [], PRE: ['tabindex'], CODE: [],
  STRONG: [], EM: [], DEL: [], H3: [], H4: [], H5: [], H6: [], TABLE: [], THEAD: [], TBODY: [], TR: [], TH: ['class'], TD: ['class'],
  BUTTON: ['type', 'class', 'data-testid', 'aria-label'], A: ['href', 'target', 'rel'],
};
const answer = { decision: 'grounded', sources: [{ n: 1, entry_id: 'e', title: 't', snippet: '见 https://known.example/a。', url: null, score: 1 }] } as unknown as Answer;
const known = hostsOf(answer, []);

function draw(text: string, live: boolean): HTMLElement {
  const place = document.createElement('div');
  render(<Markdown text={text} live={live} cites={{ known, has: (n) => n === 1, label: (n) => `来源 ${n}`, open: () => undefined }} />, place);
  return place;
}

function harmless(place: HTMLElement, text: string): void {
  for (const element of place.querySelectorAll('*')) {
    const attributes = ALLOWED[element.tagName];
    expect(attributes, `${element.tagName} from ${text}`).toBeDefined();
    for (const { name } of element.attributes) expect(attributes, `${element.tagName} ${name} from ${text}`).toContain(name);
    const href = element.getAttribute('href');
    if (href !== null) expect(new URL(href).hostname, text).toBe('known.example');
  }
}

describe('Markdown that attacks', () => {
  it('is text, however much of it has come', () => {
    for (const text of hostile) {
      harmless(draw(text, false), text);
      for (const end of [0.2, 0.5, 0.8, 0.95]) {
        const part = text.slice(0, Math.ceil(text.length * end));
        harmless(draw(part, true), part);
      }
    }
  }, 60_000);

  it('loses no word of what it says outside its syntax', () => {
    for (const text of hostile.filter((text) => text.startsWith('<') && !text.startsWith('<br') && text.length < 300)) {
      expect(draw(text, false).textContent?.replace(/\s/g, '').length, text).toBeGreaterThan(5);
    }
  });

  it('is as harmless in the title and the address of a row', () => {
    for (const text of hostile) {
      const href = safeHref(text);
      if (href) expect(href, text).toMatch(/^https?:\/\//);
    }
  });
});

describe('links', () => {
  const leads = (decision: string, listed: string[] | null, href: string) => hostsOf({ ...answer, decision } as Answer, listed)(href);

  it('lead to hosts of the sources, of the list with its subdomains, and of the page', () => {
    expect(leads('grounded', [], 'https://known.example/b')).toBe(true);
    expect(leads('grounded', [], 'https://other.example/b')).toBe(false);
    expect(leads('grounded', ['shop.example'], 'https://help.shop.example/b')).toBe(true);
    expect(leads('grounded', ['shop.example'], 'https://notshop.example/b')).toBe(false);
    expect(leads('grounded', [], `${location.protocol}//${location.hostname}/x`)).toBe(true);
  });

  it('lead anywhere in the shop’s own words, and where the server does not mind', () => {
    expect(leads('direct', [], 'https://other.example/b')).toBe(true);
    expect(leads('grounded', null, 'https://other.example/b')).toBe(true);
  });

  it('stay readable where they may not lead', () => {
    expect(draw('见[规则](https://other.example/b)', false).textContent).toBe('见[规则](https://other.example/b)');
    expect(draw('见[规则](https://known.example/b)', false).querySelector('a')?.textContent).toBe('规则');
  });
});
