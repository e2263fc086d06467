//! Nasty files, as shops send them.

use std::io::Write;

use encoding_rs::GBK;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const ZONE: Tz = Tz::Asia__Shanghai;

fn rows(name: &str, bytes: impl Into<Vec<u8>>) -> Result<Vec<ReadRow>> {
    Ok(Source::memory(name, bytes.into(), None)?.open(None, ZONE)?.collect())
}

/// One line per row: its number, and the question with the answer or the error's code.
fn seen(name: &str, bytes: impl Into<Vec<u8>>) -> Vec<String> {
    let line = |row: ReadRow| match row.draft {
        Ok(draft) => format!("{} {}={}", row.row, draft.question, draft.answer),
        Err(error) => format!("{} !{}", row.row, error.code),
    };
    match rows(name, bytes) {
        Ok(rows) => rows.into_iter().map(line).collect(),
        Err(error) => vec![format!("!{}", error.code())],
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

const TABLE: &str = "问题,答案\n怎么退款,七天\n保证金,\"1,000元\n起\"\n";

#[test]
fn one_table_in_every_encoding_and_separator() {
    let expected = ["2 怎么退款=七天", "3 保证金=1,000元\n起"];
    let utf16: Vec<u8> = TABLE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_be: Vec<u8> = TABLE.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [
        TABLE.as_bytes().to_vec(),
        format!("\u{feff}{TABLE}").into_bytes(),
        TABLE.replace('\n', "\r\n").into_bytes(),
        TABLE.replace('\n', "\r").into_bytes(),
        GBK.encode(TABLE).0.into_owned(),
        [&[0xff, 0xfe][..], &utf16].concat(),
        [&[0xfe, 0xff][..], &utf16_be].concat(),
        utf16,
        gzip(TABLE),
    ] {
        assert_eq!(seen("t.csv", bytes.clone()), expected, "{bytes:?}");
    }
    assert_eq!(seen("t.csv", "问题;答案\n怎么退款;七天\n保证金;\"1,000元\n起\""), expected);
    assert_eq!(seen("t.tsv", "问题\t答案\n怎么退款\t七天\n保证金\t\"1,000元\n起\""), expected);
}

/// The readers of files give their first two bytes alone; the separator is not judged on them.
#[test]
fn the_separator_is_found_whatever_the_encoding() {
    for separator in ["\t", ";", "|", ","] {
        let latin = format!("question{separator}answer\nq{separator}caf\u{e9}\nr{separator}a\n");
        for bytes in [latin.as_bytes().to_vec(), encoding_rs::WINDOWS_1252.encode(&latin).0.into_owned()] {
            assert_eq!(seen("t.csv", bytes), ["2 q=caf\u{e9}", "3 r=a"], "{separator:?}");
        }
        let chinese = format!("问题{separator}答案{separator}分类\n怎么退款{separator}七天{separator}退款\n");
        let utf16: Vec<u8> = chinese.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [GBK.encode(&chinese).0.into_owned(), utf16, gzip(&chinese)] {
            assert_eq!(seen("t.csv", bytes), ["2 怎么退款=七天"], "{separator:?}");
        }
    }
    assert_eq!(seen("t.csv", "sep=;\r\nquestion;answer\r\nq, r;a\r\n"), ["2 q, r=a"]);
    assert_eq!(seen("t.csv", "question;answer\nq;a"), ["2 q=a"]);
}

#[test]
fn an_apostrophe_before_what_a_spreadsheet_would_run_is_not_read() {
    let table = "问题,答案,相似问题1,相似问题2\n'=1,'-5 元,'+1,'@x\n''=2,'tis,=3,a'=b\n";
    let told = rows("t.csv", table).unwrap().into_iter().map(|row| row.draft.unwrap());
    let told: Vec<_> = told.map(|row| (row.question, row.answer, row.similar)).collect();
    let expected = [("=1", "-5 元", ["+1", "@x"]), ("'=2", "'tis", ["=3", "a'=b"])];
    assert_eq!(
        told,
        expected.map(|(question, answer, similar)| (question.to_owned(), answer.to_owned(), similar.map(str::to_owned).to_vec()))
    );
    assert_eq!(seen("t.jsonl", "{\"question\":\"'=1\",\"answer\":\"'-5 元\"}\n"), ["1 '=1='-5 元"], "no table");
}

#[test]
fn rows_are_numbered_as_a_spreadsheet_does() {
    let table = "\n问题,答案\n\n一,\"a\nb\n\"\n,,\n\n二,c\n三,\n四,d";
    assert_eq!(seen("t.csv", table), ["4 一=a\nb", "7 二=c", "8 !missing_answer", "9 四=d"]);
    assert_eq!(seen("t.csv", table.replace('\n', "\r\n")), ["4 一=a\nb", "7 二=c", "8 !missing_answer", "9 四=d"]);
}

#[test]
fn ragged_rows_are_filled_or_refused() {
    let table = "问题,答案,分类\n一,a\n二,b,c,,\n三,b,c,d\n四\n五,e,f\n";
    assert_eq!(seen("t.csv", table), ["2 一=a", "3 二=b", "4 !too_many_cells", "5 !missing_answer", "6 五=e"]);
}

#[test]
fn a_quote_that_is_never_closed_stops_the_table_there() {
    assert_eq!(seen("t.csv", "问题,答案\n一,a\n二,\"b\n三,c\n四,d\n"), ["2 一=a", "3 !quote_not_closed"]);
    let endless = format!("问题,答案\n一,a\n二,\"{}", "b\n".repeat(6_000_000));
    assert_eq!(seen("t.csv", endless), ["2 一=a", "3 !quote_not_closed"]);
}

#[test]
fn a_huge_cell_is_an_error_of_its_row() {
    let table = format!("问题,答案\n一,{}\n二,b\n", "长".repeat(100_000));
    assert_eq!(seen("t.csv", table), ["2 !cell_too_long", "3 二=b"]);
    let lines = format!("{{\"answer\":\"{}\"}}\n{{\"answer\":\"b\"}}\n", "x".repeat(9_000_000));
    assert_eq!(seen("t.jsonl", lines), ["1 !row_too_long", "2 =b"]);
}

#[test]
fn undecodable_bytes_are_an_error_of_their_row() {
    let mut table = TABLE.as_bytes().to_vec();
    table.extend_from_slice(b"abc,d\xff\xfe\n");
    table.extend_from_slice("还在,在\n".as_bytes());
    assert_eq!(seen("t.csv", table), ["2 怎么退款=七天", "3 保证金=1,000元\n起", "4 !bad_encoding", "5 还在=在"]);
}

#[test]
fn files_that_cannot_be_read_at_all_say_why() {
    for (name, bytes, code) in [
        ("t.csv", &b""[..], "!file_empty"),
        ("t.csv", b"\r\n \n", "!file_empty"),
        ("t.jsonl", b"\xef\xbb\xbf", "!file_empty"),
        ("t.csv", b"PK\x03\x04\x00\x00\x08\x00binary", "!file_unreadable"),
        ("t.xlsx", b"PK", "!file_unreadable"),
        ("t", b"a", "!unknown_format"),
        ("t.csv", b"name,phone\n1,2\n", "!no_question_or_answer_column"),
    ] {
        assert_eq!(seen(name, bytes), [code], "{name}");
    }
    let error = open(Path::new("/nowhere/t.csv"), None, None, ZONE).err().unwrap();
    assert_eq!(error.code(), "file_unreadable");
    assert!(error.message().contains("/nowhere/t.csv"));
}

#[test]
fn json_lines_are_taken_as_they_come() {
    let lines = r#"{"id": 7, "question": "一", "answer": "a", "similar": ["x|y", "z"], "not": "p##q", "tags": null, "page": {"n": 1}, "direct": true}

{"q": "二", "question": "三", "a": "b", "valid_to": "2026-11-01"}
{"question": "四"}
["五"]
{"question": "六", "answer": "f"
{"question": {"zh": "七"}, "answer": "g"}
"#;
    assert_eq!(seen("t.jsonl", lines), ["1 一=a", "3 三=b", "4 !missing_answer", "5 !bad_json", "6 !bad_json", "7 !bad_field"]);
    let first = rows("t.jsonl", lines).unwrap().remove(0).draft.unwrap();
    assert_eq!((first.id.as_deref(), first.direct), (Some("7"), true));
    assert_eq!((first.similar, first.negative), (vec!["x|y".to_owned(), "z".to_owned()], vec!["p".to_owned(), "q".to_owned()]));
}

#[test]
fn a_cut_off_archive_gives_what_it_had() {
    let line = |n: usize| format!("{{\"id\":\"{n}\",\"question\":\"{:x}\",\"answer\":\"a\"}}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let text: String = (0..20_000).map(line).collect();
    let packed = gzip(&text);
    let read = rows("t.jsonl.gz", &packed[..packed.len() / 2]).unwrap();
    let (last, good) = read.split_last().unwrap();
    assert!(good.len() > 1000 && good.iter().all(|row| row.draft.is_ok()));
    assert_eq!(last.draft.as_ref().unwrap_err().code, "file_truncated");
    assert_eq!(last.row, good.len() as u64 + 1);
    let two = [gzip(&line(1)), gzip(&line(2))].concat();
    assert_eq!(rows("t.jsonl.gz", two).unwrap().len(), 2);
}

#[test]
fn unknown_columns_are_noted() {
    let reader = Source::memory("t.csv", "问题,答案,备注\n一,a,x\n", None).unwrap().open(None, ZONE).unwrap();
    assert_eq!(reader.notes(), ["columns not used: `备注`"]);
}

#[test]
fn every_row_of_the_real_documents_reads() {
    let shared = Path::new("../shared/data");
    for (name, count) in [
        ("adobe_commerce_docs_zh.jsonl.gz", 5364),
        ("adobe_commerce_docs_en.jsonl.gz", 5170),
        ("eval/cmrc_zh.entries.jsonl.gz", 848),
        ("eval/adobe_zh.entries.jsonl.gz", 5364),
    ] {
        let path = shared.join(name);
        if !path.exists() {
            eprintln!("skipped: no {name} beside the repository");
            continue;
        }
        let rows: Vec<_> = open(&path, None, None, ZONE).unwrap().collect();
        let failed: Vec<_> = rows.iter().filter_map(|row| row.draft.as_ref().err()).collect();
        assert_eq!((rows.len(), failed.len()), (count, 0), "{name}: {:?}", failed.first());
    }
}
