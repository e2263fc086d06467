import { render } from 'preact';
import { describe, expect, it, vi } from 'vitest';
import { safeHref } from './links';
import { Markdown, mend } from './markdown';

function draw(text: string, known: number[] = [], live = false) {
  const place = document.createElement('div');
  const open = vi.fn();
  const cites = { has: (n: number) => known.includes(n), label: (n: number) => `来源 ${n}`, open };
  render(<Markdown text={text} live={live} cites={cites} />, place);
  return { place, open, html: place.innerHTML };
}

describe('safety', () => {
  it('shows raw HTML as text', () => {
    for (const text of ['<img src=x onerror=alert(1)>', 'a <script>alert(1)</script> b', '<iframe src="https://x.example"></iframe>', '<b onclick="x()">fett</b>', '<!-- c -->', '<style>*{display:none}</style>']) {
      const { place } = draw(text);
      expect(place.querySelector('img, script, iframe, b, style'), text).toBeNull();
      expect(place.textContent).toContain(text.trim());
    }
  });

  it('links only to http and https', () => {
    const tricks = ['javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'java\nscript:alert(1)', 'data:text/html,<script>1</script>', 'vbscript:x', '//evil.example', '/relative', 'mailto:a@b.example', '&#106;avascript:alert(1)', 'file:///etc/passwd', 'blob:https://x.example/1'];
    for (const href of tricks) {
      expect(safeHref(href), href).toBeUndefined();
      expect(draw(`[x](${href})`).place.querySelector('a'), href).toBeNull();
    }
    expect(draw('<javascript:alert(1)>').place.querySelector('a')).toBeNull();
    const link = draw('[规则](https://example.com/a "t")').place.querySelector('a')!;
    expect(link.getAttribute('href')).toBe('https://example.com/a');
    expect(link.rel).toContain('noopener');
    expect(link.target).toBe('_blank');
  });

  it('loads no pictures', () => {
    const { place } = draw('![图](https://example.com/x.png) ![坏](javascript:alert(1))');
    expect(place.querySelector('img')).toBeNull();
    expect(place.querySelectorAll('a')).toHaveLength(1);
    expect(place.textContent).toContain('图');
  });

  it('decodes entities to signs, never to elements', () => {
    const { place } = draw('&lt;script&gt;1&lt;/script&gt; &amp; &copy;');
    expect(place.querySelector('script')).toBeNull();
    expect(place.textContent).toBe('<script>1</script> & ©');
  });
});

describe('grammar', () => {
  it('draws what answers are made of', () => {
    const { place } = draw('## 标题\n\n#### 小标题\n\n一段 **粗** *斜* `码`\n\n- 甲\n  - 乙\n\n3. 丙\n\n> 引\n\n```js\nlet a = "<b>";\n```\n\n| 类目 | 金额 |\n|---|--:|\n| 普通 | 10,000<br>元 |');
    expect([...place.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((node) => node.localName + node.textContent)).toEqual(['h3标题', 'h3小标题']);
    expect([...place.querySelectorAll('strong, em, p > code, ul ul li, blockquote')].map((node) => node.textContent)).toEqual(['粗', '斜', '码', '乙', '引']);
    expect(place.querySelector('ol')?.getAttribute('start')).toBe('3');
    expect(place.querySelector('pre')?.textContent).toBe('let a = "<b>";');
    expect(place.querySelector('td.right br')).not.toBeNull();
  });

  it('is bold beside Chinese punctuation', () => {
    expect(draw('**结论：**请先缴纳').place.querySelector('strong')?.textContent).toBe('结论：');
    expect(draw('按**“店铺保证金”**收取').place.querySelector('strong')?.textContent).toBe('“店铺保证金”');
    expect(draw('`**x**`').place.querySelector('strong')).toBeNull();
  });

  it('ends a bare address where the Chinese begins', () => {
    const { place } = draw('见 https://example.com/a?b=1。然后');
    expect(place.querySelector('a')?.textContent).toBe('https://example.com/a?b=1');
    expect(place.textContent).toBe('见 https://example.com/a?b=1。然后');
  });

  it('keeps single line breaks', () => {
    expect(draw('一\n二').place.querySelectorAll('br')).toHaveLength(1);
  });
});

describe('citations', () => {
  it('turns [n] into a button where source n exists', () => {
    const { place, open } = draw('是一万元 [1][2]，不是两万 [7]。', [1, 2]);
    const buttons = [...place.querySelectorAll<HTMLButtonElement>('button')];
    expect(buttons.map((button) => button.textContent)).toEqual(['1', '2']);
    expect(buttons[0]?.getAttribute('aria-label')).toBe('来源 1');
    expect(place.textContent).toContain('[7]');
    buttons[1]?.click();
    expect(open).toHaveBeenCalledWith(2, buttons[1]);
  });

  it('keeps a marker on the line of what it belongs to', () => {
    const { place } = draw('不计利息[1]。𠮷店 [2][1] 也是', [1, 2]);
    expect([...place.querySelectorAll('.glue')].map((one) => one.textContent)).toEqual(['息1。', '店2', '1']);
    expect(place.textContent).toBe('不计利息1。𠮷店21 也是');
  });

  it('leaves code alone, and is not fooled by link syntax', () => {
    expect(draw('`a[1]`', [1]).place.querySelector('button')).toBeNull();
    expect(draw('规则[1](见下)', [1]).place.querySelector('button')).not.toBeNull();
    expect(draw('甲 [1]\n\n[1]: https://example.com', [1]).place.querySelector('p button')).not.toBeNull();
  });
});

describe('a growing text', () => {
  it('never shows half a syntax', () => {
    const text = '**保证金**要 `码` [1]\n- 甲\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n1. 丙';
    for (let end = 1; end < text.length; end++) {
      const { place } = draw(text.slice(0, end), [1], true);
      expect(place.textContent, text.slice(0, end)).not.toMatch(/\*\*|`|\[1$|\|/);
      expect(place.querySelector('h3, h4, hr'), text.slice(0, end)).toBeNull();
    }
  });

  it('is drawn as a text that came at once', () => {
    const text =
      '## 标题\n一段 **粗** [1]\n接着\n\n- 甲\n  - 乙\n\n  丙\n\n- 丁\n\n\n1. 一\n2. 二\n三\n\n> 引\n懒\n\n> 又\n\n```js\na\n\n- b\n```\n尾\n| a | b |\n|---|--:|\n| 1 | 2 |\n后\n\n    缩进\n\n标题二\n---\n\n[1]: https://x.example\r\n\r\n<b>\n\n见 https://x.example/a。\n\n* * *\n完';
    const place = document.createElement('div');
    const cites = { has: (n: number) => n === 1, label: String, open: () => undefined };
    for (let end = 1; end <= text.length; end++) {
      const part = text.slice(0, end);
      const live = end < text.length;
      render(<Markdown text={part} live={live} cites={cites} />, place);
      const fresh = document.createElement('div');
      render(<Markdown text={part} live={live} cites={cites} />, fresh);
      expect(place.innerHTML, part).toBe(fresh.innerHTML);
    }
  });

  it('mends nothing inside code', () => {
    expect(mend('```py\nx = 2 **')).toBe('```py\nx = 2 **');
  });

  it('keeps finished blocks in the page', () => {
    const place = document.createElement('div');
    render(<Markdown text={'第一段\n\n第二'} live />, place);
    const first = place.querySelector('p');
    render(<Markdown text={'第一段\n\n第二段更长'} live />, place);
    expect(place.querySelector('p')).toBe(first);
    expect(place.textContent).toBe('第一段第二段更长');
  });
});
