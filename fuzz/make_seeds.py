"""Makes the seeds for workbooks, documents and PDFs in `corpus/`. Run it after a change; the seeds are kept in the
repository. Archives are written as text, one part below the other; `harness.rs` packs them."""

import pathlib
import zlib

ROOT = pathlib.Path(__file__).parent / "corpus"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NS = f'xmlns="{MAIN}" xmlns:r="{REL}"'
PKG = "http://schemas.openxmlformats.org/package/2006/relationships"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def parts(kind, name, content):
    text = "".join(f"=== {part}\n{xml}\n" for part, xml in content.items())
    (ROOT / kind).mkdir(exist_ok=True)
    (ROOT / kind / f"{name}.parts").write_text(text)


# ── workbooks ──
def relations(*rows):
    return f'<Relationships xmlns="{PKG}">\n' + "".join(f"<Relationship {row}/>\n" for row in rows) + "</Relationships>"


def xlsx(name, sheet, strings=None, styles="", rels=None, book=None):
    usual = relations(f'Id="rId1" Type="{REL}/worksheet" Target="worksheets/sheet1.xml"', f'Id="rId2" Type="{REL}/sharedStrings" Target="sharedStrings.xml"')
    content = {
        "_rels/.rels": relations(f'Id="rId1" Type="{REL}/officeDocument" Target="xl/workbook.xml"'),
        "xl/workbook.xml": book or f'<workbook {NS}><sheets><sheet name="问答" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": rels or usual,
        "xl/styles.xml": f"<styleSheet {NS}>{styles}</styleSheet>",
        "xl/worksheets/sheet1.xml": f"<worksheet {NS}>{sheet}</worksheet>",
    }
    if strings is not None:
        content["xl/sharedStrings.xml"] = strings
    parts("xlsx", name, content)


def inline(at, text):
    return f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>'


HEAD = f'<row r="1">{inline("A1", "问题")}{inline("B1", "答案")}</row>'
BOTH = f'<sheetData>{HEAD}<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>0</v></c></row></sheetData>'
xlsx(
    "shared_strings",
    '<dimension ref="A1:B3"/><sheetData>\n<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>\n'
    '<row r="2"><c r="A2" t="s"><v>2</v></c><c r="B2" t="s"><v>3</v></c></row>\n</sheetData>',
    f'<sst {NS} count="4" uniqueCount="4">\n<si><t>问题</t></si>\n<si><t>答案</t></si>\n'
    '<si><r><rPr><b/></rPr><t>怎么</t></r><r><t xml:space="preserve"> 退款 </t></r><rPh sb="0" eb="1"><t>x</t></rPh></si>\n'
    "<si><t>七天_x000D_&#10;原路 &amp; 当日</t></si>\n</sst>",
)
xlsx("entities_in_a_circle", BOTH, f'<!DOCTYPE x [<!ENTITY a "&b;&b;"><!ENTITY b "&a;&a;">]>\n<sst {NS} uniqueCount="1"><si><t>&a;</t></si></sst>')
xlsx("more_texts_than_memory", BOTH, f'<sst {NS} uniqueCount="400000000000000"><si><t>甲</t></si></sst>')
xlsx("more_texts_behind_a_wrong_end", BOTH, f'<!-- a -- b --></x>\n<sst {NS} a="" a="" uniqueCount="400000000000000"/>')
xlsx(
    "as_large_as_can_be",
    f'<dimension ref="A1:XFD1048576"/><cols><col min="1" max="16384"/></cols><sheetData>{HEAD}\n'
    '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>\n<row r="4294967295"><c r="ZZZZZZ4294967295"><v>1</v></c></row>\n'
    '<row r="2"><c r="A0"><v>1</v></c><c r="2B"><v>1</v></c></row></sheetData>',
)
MERGES = ["A2:B9", "A2:XFD1048576", "B2:A1", "B9:B2", "A2:A2", "A1", "A2:B3:C4", "AAAA1:B2"]
xlsx(
    "merged_again_and_again",
    f'<sheetData>{HEAD}<row r="2">{inline("A2", "一")}{inline("B2", "甲")}</row><row r="3"><c r="C3"><v>1</v></c></row></sheetData>\n'
    '<mergeCells count="99999999">' + "".join(f'<mergeCell ref="{merge}"/>\n' for merge in MERGES) + "</mergeCells>",
)
xlsx(
    "formulas_and_formats",
    f'<sheetData>{HEAD}\n<row r="2"><c r="A2" t="str"><f>"一"&amp;1</f><v>一1</v></c><c r="B2" s="1"><f t="shared" ref="B2:B9" si="4000000000">A1</f><v>0.055</v></c></row>\n'
    '<row r="3"><c r="A3" t="b"><v>1</v></c><c r="B3" s="2"><f t="shared" si="4000000000"/><v>46357.5</v></c></row>\n'
    '<row r="4"><c r="A4" t="e"><f>1/0</f><v>#DIV/0!</v></c><c r="B4" s="3"><v>-1E308</v></c></row>\n'
    '<row r="5"><c r="A5" t="d"><v>2026-12-01</v></c><c r="B5" s="99"><v>1e999</v></c></row></sheetData>',
    styles='<numFmts count="2"><numFmt numFmtId="164" formatCode="[Red]#,##0.00_);[$¥-804]\\(0\\);&quot;零&quot;;@"/>'
    '<numFmt numFmtId="165" formatCode="[h]:mm:ss.000"/></numFmts>\n'
    '<cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/><xf numFmtId="165"/></cellXfs>',
)
xlsx(
    "relations_to_nowhere",
    f"<sheetData>{HEAD}</sheetData>",
    rels=relations(
        f'Id="rId1" Type="{REL}/worksheet" Target="../../../etc/passwd"',
        f'Id="rId1" Type="{REL}/worksheet" Target="https://example.com/" TargetMode="External"',
        f'Id="rId2" Type="{REL}/worksheet" Target="workbook.xml"',
        f'Id="rId3" Type="{REL}/chartsheet" Target="worksheets/sheet1.xml"',
    ),
    book=f'<workbook {NS}><workbookPr date1904="1"/><sheets>\n<sheet name="一" sheetId="1" r:id="rId1"/>\n<sheet name="二" sheetId="1" r:id="rId2"/>\n'
    '<sheet name="一" sheetId="9" state="hidden" r:id="rId3"/>\n<sheet name="四" sheetId="4" r:id="rId99"/>\n</sheets>'
    '<definedNames><definedName name="x">一!$A$1</definedName></definedNames></workbook>',
)


# ── documents ──
def docx(name, body, styles=None, prolog=""):
    content = {"word/styles.xml": f"<w:styles {W}>{styles}</w:styles>"} if styles else {}
    parts("docx", name, content | {"word/document.xml": f"{prolog}<w:document {W}><w:body>\n{body}\n</w:body></w:document>"})


def paragraph(style, text):
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>\n'


def row(*cells):
    return "<w:tr>" + "".join(f"<w:tc>{cell}</w:tc>" for cell in cells) + "</w:tr>"


docx(
    "headings_lists_and_tables",
    paragraph("1", "保证金")
    + paragraph("x", "一万元。")
    + "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>条</w:t><w:tab/><w:br/><w:t>二 &amp; &#x4e09;</w:t></w:r></w:p>\n"
    + paragraph("2", "退还")
    + f'<w:tbl>{row(paragraph("x", "SG"), "<w:tbl>" + row(paragraph("x", "500")) + "</w:tbl>")}</w:tbl>\n'
    + "<w:p><w:del><w:r><w:delText>旧</w:delText></w:r></w:del><w:ins><w:r><w:t>新</w:t></w:r></w:ins></w:p>\n"
    + f'<mc:AlternateContent><mc:Choice>{paragraph("x", "框")}</mc:Choice><mc:Fallback>{paragraph("x", "框")}</mc:Fallback></mc:AlternateContent>',
    '<w:style w:styleId="1"><w:name w:val="heading 1"/></w:style>\n<w:style w:styleId="2"><w:name w:val="标题 2"/><w:basedOn w:val="1"/></w:style>',
)
docx(
    "styles_of_one_another",
    paragraph("a", "一") + paragraph("b", "二") + paragraph("c", "三"),
    '<w:style w:styleId="a"><w:basedOn w:val="b"/></w:style>\n<w:style w:styleId="b"><w:basedOn w:val="a"/></w:style>\n'
    '<w:style w:styleId="c"><w:basedOn w:val="c"/><w:outlineLvl w:val="255"/></w:style>',
)
docx("entities_in_a_circle", paragraph("x", "甲 &a; &#0; &#xD800; &nothing; 乙"), prolog='<!DOCTYPE x [<!ENTITY a "&b;&b;"><!ENTITY b "&a;&a;">]>\n')
docx(
    "rows_without_tables",
    f'<w:tc>{paragraph("x", "一")}</w:tc><w:tr/><w:tr>{paragraph("x", "二")}<w:tr><w:tc/></w:tr></w:tr><mc:Fallback/><w:t/>三<w:t>四</w:t>',
)
docx("rows_in_rows", ("<w:tr><w:tc>" + paragraph("x", "x")) * 25 + "</w:tc></w:tr>" * 25)


# ── PDFs ──
def pdf(name, objects):
    """An object is its text, or its dictionary and the data of its stream."""
    out, places = bytearray(b"%PDF-1.4\n"), {}
    for n in sorted(objects):
        places[n] = len(out)
        head, data = objects[n] if isinstance(objects[n], tuple) else (objects[n], None)
        out += f"{n} 0 obj\n{head}\n".encode()
        if data is not None:
            out += b"stream\n" + data + b"\nendstream\n"
        out += b"endobj\n"
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    out += "".join(f"{n} 1\n{places[n]:010} 00000 n \n" for n in sorted(places)).encode()
    out += f"trailer\n<< /Size {max(places) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    (ROOT / "pdf").mkdir(exist_ok=True)
    (ROOT / "pdf" / f"{name}.pdf").write_bytes(out)


def stream(data, head=""):
    return f"<< {head} /Length {len(data)} >>", data


def page(content, resources="", font="<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>", more=None):
    return {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        2: "<< /Type /Pages /Kids [4 0 R] /Count 1 /MediaBox [0 0 595 842] >>",
        3: font,
        4: f"<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> {resources} >> /Contents 5 0 R >>",
        5: stream(content.encode()),
        **(more or {}),
    }


def form(data, resources=""):
    return stream(data, f"/Type /XObject /Subtype /Form /BBox [0 0 1 1] {resources}")


pdf(
    "plain_text",
    page(
        "BT /F1 20 Tf 50 800 Td (Deposit) Tj ET\nBT /F1 10 Tf 50 760 Td [(A shop) -250 (pays \\(10,000\\) \\165\\n)] TJ T* (before it opens.) ' ET\n"
        "q 1 0 0 1 5 5 cm 10 10 m 20 20 l S Q BI /W 1 /H 1 /CS /G /BPC 8 ID x EI"
    ),
)
TABLE = (
    b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
    b"2 beginbfchar <0001> <4E00> <0002> <D83DDE00> endbfchar\n2 beginbfrange <0003> <0005> <4E8C> <0006> <0007> [<0041> <0042>] endbfrange\nendcmap end end"
)
COMPOSITE = "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /ToUnicode 6 0 R /DescendantFonts [7 0 R] >>"
DESCENDANT = {
    7: "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /FontDescriptor 8 0 R /DW 1000 /W [1 [500 600] 3 5 700] >>",
    8: "<< /Type /FontDescriptor /FontName /X /Flags 4 >>",
}
for name, table in {
    "chinese_by_a_table": TABLE,
    "a_table_without_end": b"begincmap 1 beginbfrange <00000000> <FFFFFFFF> <0000> endbfrange",
    "a_table_too_deep": b"begincmap " + b"[" * 6000,
}.items():
    pdf(name, page("BT /F1 10 Tf 50 800 Td <00010002000300040006> Tj ET", font=COMPOSITE, more={6: stream(table), **DESCENDANT}))
pdf("draws_itself_by_its_page", page("/X Do", "/XObject << /X 6 0 R >>", more={6: form(b"/X Do")}))
DRAWS = {n: form(b"/X Do " * 10, f"/Resources << /XObject << /X {n + 1} 0 R >> >>") for n in range(6, 15)}
pdf("draws_a_thousand_million_times", page("/X Do " * 10, "/XObject << /X 6 0 R >>", more={**DRAWS, 15: form(b"q Q")}))
pdf(
    "pages_in_a_circle",
    {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        2: "<< /Type /Pages /Kids [2 0 R 3 0 R 3 0 R] /Count 99999 /Parent 3 0 R >>",
        3: "<< /Type /Page /Parent 2 0 R /Contents [4 0 R 4 0 R 5 0 R] >>",
        4: stream(b"BT ET"),
        5: "5 0 R",
    },
)
SPACES = "/ColorSpace << /C0 [/Separation /x [/ICCBased 6 0 R] 7 0 R] /C1 [/Indexed /DeviceRGB 255 6 0 R] /C2 [/ICCBased 6 0 R] >>"
FUNCTION = "<< /FunctionType 2 /Domain [0 1] /C0 [0] /C1 [1] /N 1 >>"
pdf("colours_and_functions", page("/C0 cs 1 scn /C1 CS 0.5 SCN BT /F1 10 Tf 5 5 Td (x) Tj ET", SPACES, more={6: stream(b"icc", "/N 3"), 7: FUNCTION}))


def places(name, says, data):
    """A document whose table of places is a stream."""
    out = b"%PDF-1.5\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
    head, data = stream(data, f"/Type /XRef /Root 1 0 R {says}")
    end = f"\nendstream\nendobj\nstartxref\n{len(out)}\n%%EOF\n".encode()
    (ROOT / "pdf" / f"{name}.pdf").write_bytes(out + f"9 0 obj\n{head}\nstream\n".encode() + data + end)


places("a_table_of_places", "/Size 3 /W [1 2 1] /Index [0 3]", b"\x00\x00\x00\xff\x01\x00\x09\x00\x01\x00\x3a\x00")
places("places_wider_than_memory", "/Size 3 /W [1 999999999999999 1]", b"x")
places("places_of_no_width", "/Size 3 /W [0 0 0] /Index [0 999999999999]", b"x")
places("a_row_wider_than_memory", "/Size 3 /W [1 2 1] /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 999999999999 >>", zlib.compress(b"x" * 64))
