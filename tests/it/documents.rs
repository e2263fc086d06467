//! A big set of documents, sections of pages one a line and packed, comes in whole with `--as-is`, as the README says.

use std::ffi::OsStr;
use std::io::Write;

use serde_json::json;

use crate::process::Shop;

/// As the public sets have them: pages cut at their headings, so that headings repeat and ids are long.
fn sections() -> Vec<serde_json::Value> {
    let section = |id: &str, page: &str, question: &str, answer: &str| {
        json!({
            "id": format!("shop-handbook/help/{id}.md#{question}"), "category": "shop-handbook", "page": page,
            "question": question, "answer": answer, "page_desc": format!("{page}。"),
        })
    };
    vec![
        section("labels/print", "打印面单", "概述", "面单在发货中心打印，一次最多 200 张。"),
        section("labels/void", "作废面单", "概述", "作废面单在打印后 24 小时内提交。"),
        section("labels/void", "作废面单", "如何批量作废面单？", "在发货中心勾选面单，然后选择批量作废。"),
        section("export/settings", "导出设置", "Export settings", "Open Settings, then Export. ![](media/export.png)"),
    ]
}

#[test]
fn sections_of_documents_come_in_whole_and_are_found() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let rows = sections();
    for row in &rows {
        writeln!(packed, "{row}").unwrap();
    }
    let shop = Shop::new();
    let file = shop.file("handbook_zh.jsonl.gz", packed.finish().unwrap());
    let import = || shop.run([OsStr::new("kb"), OsStr::new("import"), file.as_os_str(), OsStr::new("--as-is")]).done().counts();
    let all = rows.len() as u64;
    assert_eq!(import(), [all, 0, 0, 0, 0, 0], "a heading that two pages share is no conflict");
    assert_eq!(import(), [0, 0, all, 0, 0, 0], "again, nothing is new");
    let found = shop.search("怎么批量作废面单");
    assert_eq!(found.first().map(String::as_str), rows[2]["id"].as_str(), "{found:?}");
}
