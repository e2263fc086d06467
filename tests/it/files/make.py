#!/usr/bin/env python3
"""Makes the spiteful files beside it and manifest.json, which says what is wrong with each and what
must come of it: one line per row, `row question=answer` or `row !code`, or the error of the whole file.
Needs nothing but Python. Run it again after a change; the files are kept in the repository."""

import gzip
import hashlib
import io
import json
import pathlib
import zipfile
import zlib

HERE = pathlib.Path(__file__).parent
MANIFEST = []


def put(name, wrong, content, read=None, error=None):
    data = content if isinstance(content, bytes) else content.encode()
    (HERE / name).write_bytes(data)
    MANIFEST.append({"file": name, "wrong": wrong, **({"error": error} if error else {"read": read})})


def packed(parts, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, text in parts.items():
            # A fixed time, so that the same script makes the same bytes.
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text, method)
    return out.getvalue()


NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def xlsx(sheet, styles="", strings=None, prolog="", count="", target="worksheets/sheet1.xml"):
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="{REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {NS}><sheets><sheet name="问答" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="{REL}/worksheet" Target="{target}"/><Relationship Id="rId2" Type="{REL}/styles" Target="styles.xml"/><Relationship Id="rId3" Type="{REL}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/styles.xml": f"<styleSheet {NS}>{styles}</styleSheet>",
        "xl/worksheets/sheet1.xml": f"<worksheet {NS}>{sheet}</worksheet>",
    }
    if strings is not None:
        parts["xl/sharedStrings.xml"] = f"{prolog}<sst {NS}{count}>{strings}</sst>"
    return packed(parts)


def cell(at, text):
    return f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>'


def rows(*lines):
    out = []
    for n, cells in enumerate(lines, 1):
        out.append(f'<row r="{n}">' + "".join(cell(f"{'ABCDEF'[i]}{n}", text) for i, text in enumerate(cells) if text) + "</row>")
    return "<sheetData>" + "".join(out) + "</sheetData>"


# ── tables as text ──
put("bom_in_the_middle.csv", "A second byte order mark, as two files pasted together have.",
    "\ufeff问题,答案\n\ufeff怎么退款,七天\n", ["2 怎么退款=七天"])
put("gbk.csv", "GBK, as Excel in China saves CSV.", "问题,答案\n保证金多少,一万元\n".encode("gbk"), ["2 保证金多少=一万元"])
put("title_above.csv", "A title and a remark stand above the header.",
    "2026 年商家问答,,\n由运营部维护,,\n问题,答案,备注\n怎么退款,七天,x\n", ["4 怎么退款=七天"])
put("pipes.txt.csv", "Pipes between the cells, though it is called CSV.", "问题|答案\n怎么退款|七天, 原路\n", ["2 怎么退款=七天, 原路"])
put("unclosed_quote.csv", "A quote that is never closed swallows the rest.", '问题,答案\n一,甲\n二,"乙\n三,丙\n', ["2 一=甲", "3 !quote_not_closed"])
put("old_mac.csv", "Lines end with a carriage return alone.", "问题,答案\r一,甲\r二,乙\r", ["2 一=甲", "3 二=乙"])
put("ragged.csv", "Rows with too few and too many cells.", "问题,答案,分类\n一\n二,乙\n三,丙,丁,戊\n", ["2 !missing_answer", "3 二=乙", "4 !too_many_cells"])
put("broken_bytes.csv", "Bytes that are no text in the middle of UTF-8.",
    "问题,答案\n一,甲\n".encode() + b"\xff\xfe\xfa,b\n" + "三,丙\n".encode(), ["2 一=甲", "3 !bad_encoding", "4 三=丙"])
put("impossible_dates.csv", "Dates that do not exist, and an end before its beginning.",
    "问题,答案,生效时间,失效时间\n一,甲,2026-02-30,\n二,乙,2026-12-01,2026-11-01\n三,丙,,长期\n", ["2 !bad_date", "3 !bad_validity", "4 三=丙"])
put("price_list.csv", "Not a table of questions at all.", "名称,价格\n苹果,3\n", error="no_question_or_answer_column")
put("empty.csv", "Empty.", b"", error="file_empty")
put("really_a_zip.csv", "A workbook that somebody renamed to .csv.", packed({"a": "b"}), error="file_unreadable")
put("objects.jsonl", "Lines that are no objects, and one cut off.",
    '{"question":"一","answer":"甲"}\n["二"]\n{"question":"三"\n{"question":"四","answer":{"x":1}}\n{"question":"五","answer":"戊"}\n',
    ["1 一=甲", "2 !bad_json", "3 !bad_json", "4 !bad_field", "5 五=戊"])
put("cut_off.jsonl.gz", "A packed file whose end is missing.",
    gzip.compress(("".join(f'{{"question":"{i}","answer":"{zlib.crc32(str(i).encode())}"}}\n' for i in range(3))).encode(), mtime=0)[:-8],
    ["1 0=4108050209", "2 1=2212294583", "3 2=450215437", "4 !file_truncated"])

# ── workbooks ──
put("plain.xlsx", "Nothing is wrong with it.", xlsx(rows(["问题", "答案"], ["一", "甲"])), ["2 一=甲"])
put("merged_over_everything.xlsx", "One merged cell over the whole sheet of seventeen thousand million cells.",
    xlsx(rows(["问题", "答案"], ["一", "甲"]) + '<mergeCells><mergeCell ref="D2:XFD1048576"/></mergeCells>'), ["2 一=甲"])
put("last_cell.xlsx", "A cell in the last row and column: read as a rectangle it would need all memory.",
    xlsx("<sheetData><row r=\"1\">" + cell("A1", "问题") + cell("B1", "答案") + "</row><row r=\"2\">" + cell("A2", "一") + cell("B2", "甲")
         + '</row><row r="1048576">' + cell("XFD1048576", "x") + "</row></sheetData>"), ["2 一=甲"])
put("formula_error.xlsx", "An answer that is a formula with an error.",
    xlsx('<sheetData><row r="1">' + cell("A1", "问题") + cell("B1", "答案") + '</row><row r="2">' + cell("A2", "一")
         + '<c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v></c></row></sheetData>'), ["2 !formula_error"])
put("percent.xlsx", "A percentage and a date that are numbers underneath.",
    xlsx('<sheetData><row r="1">' + cell("A1", "问题") + cell("B1", "答案") + '</row><row r="2">' + cell("A2", "佣金")
         + '<c r="B2" s="1"><v>0.055</v></c></row><row r="3">' + cell("A3", "哪天") + '<c r="B3" s="2"><v>46357</v></c></row></sheetData>',
         '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="10"/><xf numFmtId="14"/></cellXfs>'),
    ["2 佣金=5.50%", "3 哪天=2026-12-01"])
put("string_that_is_not_there.xlsx", "A cell names a text that the table of texts does not have.",
    xlsx('<sheetData><row r="1">' + cell("A1", "问题") + cell("B1", "答案") + '</row><row r="2">' + cell("A2", "一")
         + '<c r="B2" t="s"><v>99</v></c></row></sheetData>', strings="<si><t>x</t></si>"), error="file_unreadable")
put("cut_off.xlsx", "Half of a workbook.", xlsx(rows(["问题", "答案"], ["一", "甲"]))[:700], error="file_unreadable")
# Encrypting is random; this one was made once: msoffcrypto-tool -e -p merchant plain.xlsx password.xlsx
put("password.xlsx", "A workbook protected by a password.", (HERE / "password.xlsx").read_bytes(), error="file_encrypted")
put("old_excel.xlsx", "An Excel 97 file that somebody renamed.", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), error="file_unreadable")
ONE = '<row r="1">' + cell("A1", "问题") + cell("B1", "答案") + '</row><row r="2">' + cell("A2", "一") + '<c r="B2" t="s"><v>0</v></c></row>'
put("entities_in_a_circle.xlsx", "A text that is made of itself.",
    xlsx(f"<sheetData>{ONE}</sheetData>", strings="<si><t>&a;</t></si>", prolog='<!DOCTYPE x [<!ENTITY a "&b;&b;"><!ENTITY b "&a;&a;">]>'), error="file_unreadable")
put("more_texts_than_memory.xlsx", "It says of itself that it has four hundred million million texts.",
    xlsx(f"<sheetData>{ONE}</sheetData>", strings="<si><t>甲</t></si>", count=' uniqueCount="400000000000000"'), error="file_unreadable")
put("merged_across_one_another.xlsx", "Twenty thousand merged cells over the same places.",
    xlsx(rows(["问题", "答案"], ["一", "甲"], *[[str(n)] for n in range(3, 60)]) + "<mergeCells>" + '<mergeCell ref="B2:B1048576"/>' * 20_000 + "</mergeCells>"),
    ["2 一=甲"] + [f"{n} {n}=甲" for n in range(3, 60)])
put("sheet_outside.xlsx", "A sheet that would lie outside of the workbook.",
    xlsx(rows(["问题", "答案"], ["一", "甲"]), target="../../../../etc/passwd"), error="file_unreadable")

# ── documents ──
put("comment_fields.md", "A date that is none, in the comment under a heading.",
    "# 一\n<!-- 失效时间：明天 -->\n甲\n\n# 二\n<!-- market: DE -->\n乙\n", ["1 !bad_date", "5 二=乙"])
put("never_closed.html", "Tags that are never closed, in the wrong order, and a script with a tag in it.",
    "<h1>保证金<p>一<b>二<h2>退还</h1></b><script>'</p><h1>no</h1>'</script><td>三", ["1 保证金 一二 › 退还=三"])
put("deep.html.gz", "A hundred thousand elements inside one another.", gzip.compress(("<h1>一</h1>" + "<div>" * 100_000 + "甲").encode(), mtime=0), ["1 一=甲"])
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
P = '<w:p><w:pPr>{}</w:pPr><w:r><w:t>{}</w:t></w:r></w:p>'
put("headings.docx", "Headings by outline level only, no styles.",
    packed({"word/document.xml": f"<w:document {W}><w:body>" + P.format('<w:outlineLvl w:val="0"/>', "保证金") + P.format("", "一万元。") + "</w:body></w:document>"}),
    ["1 保证金=一万元。"])
put("entities.docx", "XML entities that would unfold to a thousand million laughs.",
    packed({"word/document.xml": '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>' + f"<w:document {W}><w:body>" + P.format("", "甲 &b; 乙") + "</w:body></w:document>"}),
    ["1 entities=甲  乙"])
put("pictures_only.docx", "Only pictures.", packed({"word/document.xml": f"<w:document {W}><w:body><w:p><w:r><w:drawing/></w:r></w:p></w:body></w:document>"}), ["1 !no_text"])
put("styles_in_a_circle.docx", "Styles that are derived from one another.",
    packed({"word/styles.xml": f'<w:styles {W}><w:style w:styleId="a"><w:basedOn w:val="b"/></w:style><w:style w:styleId="b"><w:basedOn w:val="a"/></w:style></w:styles>',
            "word/document.xml": f"<w:document {W}><w:body>" + P.format('<w:pStyle w:val="a"/>', "甲") + "</w:body></w:document>"}), ["1 styles_in_a_circle=甲"])
DEEP = 20_000
put("tables_in_tables.docx", "Twenty thousand tables inside one another.",
    packed({"word/document.xml": f"<w:document {W}><w:body>" + "<w:tbl><w:tr><w:tc>" * DEEP + P.format("", "甲") + "</w:tc><w:tc/></w:tr></w:tbl>" * DEEP + "</w:body></w:document>"}),
    ["1 tables_in_tables=| 甲" + " |" * 20 + "  |"])
put("long_heading.md.gz", "A heading as long as a page above a hundred thousand sections.",
    gzip.compress(("# " + "长" * 1500 + "\n" + "## a\nb\n" * 100_000).encode(), mtime=0), ["1 !file_too_large"])
put("no_document.docx", "A zip file without a document.", packed({"readme.txt": "hello"}), error="file_unreadable")


def rc4(key, data):
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
IDENTITY = bytes(range(16))


def locked(password):
    """The key of a document with this password (40 bits, as the oldest readers know it), and what says so."""
    padded = (password.encode() + PADDING)[:32]
    owner = rc4(hashlib.md5(b"owner" + PADDING[:27]).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (0xFFFFFFC0).to_bytes(4, "little") + IDENTITY).digest()[:5]
    says = f"<< /Filter /Standard /V 1 /R 2 /P -64 /O <{owner.hex()}> /U <{rc4(key, PADDING).hex()}> >>"
    return key, says, f"/Encrypt 99 0 R /ID [<{IDENTITY.hex()}> <{IDENTITY.hex()}>] "


def pdf(pages, extra=(), password=None, held=None):
    """Pages as (content, resources); `extra` are further objects from number 100 on. With `held` all objects that are
    no streams lie in a packed one, with so many blanks behind them."""
    key, says, trailer = locked(password) if password is not None else (None, None, "")
    objects = {1: "<< /Type /Catalog /Pages 2 0 R >>", 3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"}
    kids = []
    for n, (content, resources) in enumerate(pages):
        page, stream = 10 + 2 * n, 11 + 2 * n
        kids.append(f"{page} 0 R")
        objects[page] = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> {resources} >> /Contents {stream} 0 R >>"
        data = zlib.compress(content.encode(), 9)
        objects[stream] = (f"<< /Length {len(data)} /Filter /FlateDecode >>", data)
    objects[2] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.update(extra)
    if held is not None:
        inside = {n: own for n, own in sorted(objects.items()) if isinstance(own, str)}
        starts, body = [], ""
        for n, own in inside.items():
            starts.append(f"{n} {len(body)}")
            body += own + "\n"
        head = " ".join(starts) + "\n"
        data = zlib.compress((head + body).encode() + b" " * held, 9)
        objects = {n: own for n, own in objects.items() if n not in inside}
        objects[200] = (f"<< /Type /ObjStm /N {len(inside)} /First {len(head)} /Length {len(data)} /Filter /FlateDecode >>", data)
    if says is not None:
        objects[99] = says
    out = bytearray(b"%PDF-1.5\n" if held is not None else b"%PDF-1.4\n")
    places = {}
    for n in sorted(objects):
        places[n] = len(out)
        head, data = objects[n] if isinstance(objects[n], tuple) else (objects[n], None)
        out += f"{n} 0 obj\n{head}\n".encode()
        if data is not None and key is not None:
            data = rc4(hashlib.md5(key + n.to_bytes(3, "little") + bytes(2)).digest()[:10], data)
        if data is not None:
            out += b"stream\n" + data + b"\nendstream\n"
        out += b"endobj\n"
    start = len(out)
    if held is not None:
        rows = {**{n: (1, place, 0) for n, place in places.items()}, **{n: (2, 200, i) for i, n in enumerate(inside)}, 201: (1, start, 0)}
        table = b"".join(bytes([kind]) + place.to_bytes(4, "big") + bytes([i]) for kind, place, i in (rows.get(n, (0, 0, 0)) for n in range(202)))
        out += f"201 0 obj\n<< /Type /XRef /Size 202 /W [1 4 1] /Root 1 0 R {trailer}/Length {len(table)} >>\nstream\n".encode()
        out += table + f"\nendstream\nendobj\nstartxref\n{start}\n%%EOF\n".encode()
        return bytes(out)
    out += f"xref\n0 1\n0000000000 65535 f \n".encode()
    for n in sorted(places):
        out += f"{n} 1\n{places[n]:010} 00000 n \n".encode()
    out += f"trailer\n<< /Size {max(places) + 1} /Root 1 0 R {trailer}>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def text(*lines):
    y, out = 800, []
    for size, line in lines:
        out.append(f"BT /F1 {size} Tf 50 {y} Td ({line}) Tj ET")
        y -= 2 * size
    return "\n".join(out)


IMAGE = {100: ("<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>", b"\x00")}
put("half_scanned.pdf", "The second page is a scan without text.",
    pdf([(text((20, "Deposit"), (10, "A local shop pays 10,000 yuan before it opens.")), ""), ("q 595 0 0 842 0 0 cm /I Do Q", "/XObject << /I 100 0 R >>")], IMAGE),
    ["2 !page_without_text", "1 Deposit=A local shop pays 10,000 yuan before it opens."])
FORM = {100: ("<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /X 100 0 R >> >> /Length 5 >>", b"/X Do")}
put("outlines_only.pdf", "The second page has its text as outlines, the third a picture of its own, the fourth only a frame.",
    pdf([(text((20, "Deposit"), (10, "A local shop pays 10,000 yuan before it opens.")), ""),
         (" ".join(f"{n} {n} m {n + 5} {n} l S" for n in range(150)), ""),
         ("q 50 0 0 50 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q", ""),
         ("10 10 500 700 re S", "")]),
    ["2 !page_without_text", "3 !page_without_text", "1 Deposit=A local shop pays 10,000 yuan before it opens."])
put("draws_itself.pdf", "A form that draws itself without end.", pdf([("/X Do", "/XObject << /X 100 0 R >>")], FORM), ["1 !page_unreadable"])
put("draws_itself_by_its_page.pdf", "A form without resources of its own that draws itself by those of its page.",
    pdf([("/X Do", "/XObject << /X 100 0 R >>")], {100: ("<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Length 5 >>", b"/X Do")}), ["1 !page_unreadable"])
LAUGHS = {n: (f"<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /X {n + 1} 0 R >> >> /Length 60 >>", b"/X Do " * 10) for n in range(100, 109)}
put("laughs.pdf", "Ten forms that each draw ten that each draw ten, a thousand million times.",
    pdf([("/X Do " * 10, "/XObject << /X 100 0 R >>")], {**LAUGHS, 109: ("<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Length 3 >>", b"q Q")}), ["1 !page_unreadable"])
FONT = "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 101 0 R /DescendantFonts [102 0 R] >>"
CID = {100: FONT, 102: "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /FontDescriptor 103 0 R /DW 1000 >>", 103: "<< /Type /FontDescriptor /FontName /X /Flags 4 >>"}


def table(text):
    data = zlib.compress(text.encode(), 9)
    return {**CID, 101: (f"<< /Length {len(data)} /Filter /FlateDecode >>", data)}


BY_TABLE = [("BT /F2 10 Tf 50 800 Td <00010002> Tj ET", "/Font << /F2 100 0 R >>")]
put("chinese_by_a_table.pdf", "Its characters are numbers that only a table of its font explains.",
    pdf(BY_TABLE, table("begincmap 1 beginbfchar <0001> <9000> endbfchar 1 beginbfrange <0002> <0003> <6B3E> endbfrange endcmap")), ["1 chinese_by_a_table=退款"])
put("table_without_end.pdf", "The table of a font has four thousand million characters.",
    pdf(BY_TABLE, table("begincmap 1 beginbfrange <00000000> <FFFFFFFF> <0000> endbfrange endcmap")), error="file_unreadable")
put("table_too_deep.pdf", "The table of a font is a bracket in a bracket in a bracket.", pdf(BY_TABLE, table("[" * 100_000)), error="file_unreadable")
TWICE = zlib.compress(zlib.compress(bytes(1_000_000), 9), 9)
put("packed_twice.pdf", "A stream that is packed twice, with letters in between.",
    pdf([("", "")], {100: (f"<< /Filter [/FlateDecode /ASCII85Decode /FlateDecode] /Length {len(TWICE)} >>", TWICE)}), error="file_unreadable")
PLACES = b"%PDF-1.5\n9 0 obj\n<< /Type /XRef /Root 1 0 R /Size 3 /W [1 999999999999999 1] /Length 1 >>\nstream\nx\nendstream\nendobj\nstartxref\n9\n%%EOF\n"
put("places_wider_than_memory.pdf", "The table of its objects has columns of a thousand million million bytes.", PLACES, error="file_unreadable")
put("password.pdf", "Protected by a password.", pdf([(text((10, "Deposit")), "")], password="merchant"), error="file_encrypted")
put("may_not_be_printed.pdf", "Protected by an empty password, only to forbid printing.", pdf([(text((10, "Deposit")), "")], password=""), ["1 may_not_be_printed=Deposit"])
DEPOSIT = [(text((10, "Deposit")), "")]
put("locked_objects.pdf", "Protected by an empty password, its objects packed.", pdf(DEPOSIT, password="", held=0), ["1 locked_objects=Deposit"])
put("locked_blanks.pdf", "Behind an empty password 40 MB of blanks among its objects.", pdf(DEPOSIT, password="", held=40_000_000), error="file_too_large")
put("locked_with_packed_objects.pdf", "Protected by a password, its objects packed.", pdf(DEPOSIT, password="merchant", held=0), error="file_encrypted")
put("cut_off.pdf", "The first half of a PDF.", pdf([(text((10, "x")), "")])[:300], error="file_unreadable")
put("not_a.pdf", "Not a PDF.", "hello", error="file_unreadable")

(HERE / "manifest.json").write_text(json.dumps(MANIFEST, ensure_ascii=False, indent=1) + "\n")
