// Markdown to elements, never to HTML text. The grammar is marked's lexer; here is only what each
// token may become: no raw HTML, no images, links to known hosts alone, and [n] as a button.

import { Lexer, type Token, type Tokens } from 'marked';
import { createElement, type ComponentChild, type VNode } from 'preact';
import { useRef } from 'preact/hooks';
import { safeHref } from './links';

interface Cites {
  /** Whether a link may lead there; the others stay text. */
  known?(href: string): boolean;
  has(n: number): boolean;
  label(n: number): string;
  open(n: number, opener: HTMLElement): void;
}

interface Props {
  text: string;
  /** Still growing: the unfinished end is mended or held back. */
  live?: boolean;
  cites?: Cites;
  /** Changes when `cites` answers differently, so that finished blocks are drawn anew. */
  version?: string;
}

/** A block as it was read, and as it is drawn. */
interface Block {
  token: Token;
  version: string;
  drawn: ComponentChild;
}

export function Markdown({ text, live = false, cites, version = '' }: Props): VNode {
  // A finished block keeps its token and its vnode, so a growing answer reads and redraws only its last blocks.
  const kept = useRef<Block[]>([]);
  const whole = useRef<{ key: string; drawn: VNode }>(undefined);
  const key = `${live}/${version}/${text}`;
  if (whole.current?.key === key) return whole.current.drawn;
  const blocks = live ? grown(kept.current.map(({ token }) => token), mend(text)) : lex(text);
  const last = blocks.at(-1);
  if (live && last?.type === 'paragraph' && last.raw.startsWith('|')) blocks.pop(); // a table to be
  kept.current = blocks.map((token, i) => {
    const old = kept.current[i];
    return old?.token.raw === token.raw && old.version === version ? old : { token, version, drawn: block(token, cites, i) };
  });
  whole.current = { key, drawn: <div class="md">{kept.current.map(({ drawn }) => drawn)}</div> };
  return whole.current.drawn;
}

// ── grammar ──

/** `**结论：**请…` is bold to every Chinese reader, but not to CommonMark's flanking rule. */
function boldBesideChinese(this: { lexer: Lexer }, source: string) {
  const match = /^\*\*(?![\s*])([^*\n`]*[^*\s`])\*\*(?!\*)/.exec(source);
  if (!match) return undefined;
  return { type: 'strong', raw: match[0], text: match[1]!, tokens: this.lexer.inlineTokens(match[1]!) };
}

function lex(text: string): Token[] {
  const extensions = { inline: [boldBesideChinese] };
  return new Lexer({ gfm: true, breaks: true, extensions: extensions as never }).lex(text);
}

/** The blocks of a text that has grown. What comes later changes the last block, at most, and the space after it:
 *  those before are taken as they were read. */
function grown(before: Token[], text: string): Token[] {
  let read = 0;
  let at = 0;
  while (at < before.length - 2 && text.startsWith(before[at]!.raw, read)) read += before[at++]!.raw.length;
  return [...before.slice(0, at), ...lex(text.slice(read))];
}

/** Makes the end of a growing text presentable: syntax that may still change is closed or held back. */
export function mend(text: string): string {
  const fences = text.match(/^ {0,3}(?:```|~~~)/gm)?.length ?? 0;
  if (fences % 2) return text;
  const held = text
    .replace(/(^|\n)[ \t]*(?:[-*+=#>|~]{1,4}|`{1,3}|\d{1,3}[.)]?)?[ \t]*$/, '$1')
    .replace(/!?\[[^\]\n]{0,3}$/, '')
    .replace(/(?:^|(?<=[^*_~`]))[*_~`]{1,3}$/, '');
  const tail = held.slice(held.lastIndexOf('\n\n') + 1);
  const ticks = (tail.match(/`/g)?.length ?? 0) % 2 ? '`' : '';
  const stars = !ticks && (tail.match(/\*\*/g)?.length ?? 0) % 2 ? '**' : '';
  return held.trimEnd() + ticks + stars;
}

// ── elements ──

function block(token: Token, cites: Cites | undefined, key: number): ComponentChild {
  const inside = (tokens: Token[] | undefined) => (tokens ?? []).map((token, i) => block(token, cites, i));
  switch (token.type) {
    case 'space':
      return null;
    case 'heading':
      // One level for all: an answer stands under one heading or another, and whoever walks by headings finds no gap.
      return <h3 key={key}>{inline(token, cites)}</h3>;
    case 'paragraph':
      return <p key={key}>{inline(token, cites)}</p>;
    case 'text':
      return <>{inline(token, cites)}</>;
    case 'blockquote':
      return <blockquote key={key}>{inside((token as Tokens.Blockquote).tokens)}</blockquote>;
    case 'list': {
      const { ordered, start, items } = token as Tokens.List;
      const drawn = items.map((item, i) => <li key={i}>{inside(item.tokens)}</li>);
      return ordered ? <ol key={key} start={start === '' ? 1 : start}>{drawn}</ol> : <ul key={key}>{drawn}</ul>;
    }
    case 'code':
      return <pre key={key} tabIndex={0}><code>{(token as Tokens.Code).text}</code></pre>;
    case 'hr':
      return <hr key={key} />;
    case 'table': {
      const { header, rows } = token as Tokens.Table;
      const cell = (kind: 'th' | 'td') => (cell: Tokens.TableCell, i: number) =>
        createElement(kind, { key: i, class: cell.align ?? undefined }, inline(cell, cites));
      return (
        <div key={key} class="table" tabIndex={0}>
          <table>
            <thead><tr>{header.map(cell('th'))}</tr></thead>
            <tbody>{rows.map((row, i) => <tr key={i}>{row.map(cell('td'))}</tr>)}</tbody>
          </table>
        </div>
      );
    }
    case 'checkbox':
      return token.raw;
    default: // html, def and whatever comes: as it was written
      return <p key={key}>{leaf(token.raw.trim(), cites)}</p>;
  }
}

function inline(parent: { tokens?: Token[]; text?: string }, cites: Cites | undefined): ComponentChild[] {
  if (!parent.tokens) return leaf(parent.text ?? '', cites);
  return parent.tokens.map((token) => {
    switch (token.type) {
      case 'strong':
        return <strong>{inline(token, cites)}</strong>;
      case 'em':
        return <em>{inline(token, cites)}</em>;
      case 'del':
        return <del>{inline(token, cites)}</del>;
      case 'codespan':
        return <code>{(token as Tokens.Codespan).text}</code>;
      case 'br':
        return <br />;
      case 'link':
      case 'image':
        return link(token as Tokens.Link, cites);
      case 'html':
        return /^<br\s*\/?>$/i.test(token.raw.trim()) ? <br /> : token.raw;
      case 'escape':
        return (token as Tokens.Escape).text;
      case 'text':
        return inline({ ...token, text: entities((token as Tokens.Text).text) }, cites);
      default:
        return token.raw;
    }
  });
}

function link(token: Tokens.Link, cites: Cites | undefined): ComponentChild {
  const { raw, text } = token;
  // A bare address in Chinese text ends where the Chinese begins.
  const [bare] = raw === text ? /^[^\u3000-\u9fff\uff00-\uffef]*/.exec(raw)! : [''];
  const href = safeHref(bare.includes('://') ? bare : token.href);
  if (!href || (cites && /^\[\d{1,3}\]$/.test(raw)) || cites?.known?.(href) === false) return leaf(raw, cites);
  return (
    <>
      <a href={href} target="_blank" rel="noopener noreferrer nofollow">{bare || (token.type === 'link' ? inline(token, cites) : text || href)}</a>
      {bare && text.slice(bare.length)}
    </>
  );
}

/** Text, with its [n] turned into buttons where source n exists; what stands before and
 *  a stop after it stay on its line. */
function leaf(text: string, cites: Cites | undefined): ComponentChild[] {
  if (!cites) return [text];
  return text.split(/(\S? ?\[\d{1,3}\][，。；：、！？）,.;:!?)]*)/u).map((part, i) => {
    const [, before, n = 0, stops] = i % 2 ? /(\S?) ?\[(\d+)\](.*)/u.exec(part)! : [];
    if (!cites.has(+n)) return part;
    return (
      <span class="glue">
        {before}
        <button type="button" class="cite" data-testid="citation" aria-label={cites.label(+n)} onClick={(event) => cites.open(+n, event.currentTarget)}>
          {n}
        </button>
        {stops}
      </span>
    );
  });
}

const SIGNS: Record<string, string> = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', reg: '®', trade: '™', hellip: '…', mdash: '—', ndash: '–',
  middot: '·', bull: '•', times: '×', divide: '÷', deg: '°', plusmn: '±', le: '≤', ge: '≥', ne: '≠', yen: '¥', euro: '€', pound: '£', cent: '¢',
  ldquo: '“', rdquo: '”', lsquo: '‘', rsquo: '’', laquo: '«', raquo: '»', larr: '←', rarr: '→',
};

/** `&lt;` was meant as a sign to show. No parser of HTML comes near an answer, so only the usual names are known. */
function entities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,6}));/gi, (entity, decimal?: string, hex?: string, name?: string) => {
    if (name) return SIGNS[name] ?? entity;
    const code = decimal ? Number(decimal) : parseInt(hex!, 16);
    return code > 31 && code <= 0x10ffff ? String.fromCodePoint(code) : entity;
  });
}
