//! What a plan on the command line names: every field that changes, before and after, the duplicates, and
//! what would be deleted; so many of each, and how many more there are.

use std::path::Path;

use serde_json::json;

use super::process::{Ran, Shop, as_people_run_it, command, finish};

fn planned(mut command: std::process::Command, file: &Path) -> Ran {
    finish(command.args(["kb", "import", "--dry-run", "--replace-source"]).arg(file))
}

#[test]
fn a_plan_names_fields_duplicates_and_deletions() {
    let shop = Shop::new();
    let before = "id,question,answer,category\na,保证金多少？,一万元。,开店\nb,怎么退款？,七天内退。,售后\nc,几点发货？,十八点前。,物流\n";
    shop.import(&shop.file("rules.csv", before)).done();
    let after = "id,question,answer,category\na,保证金要多少？,一万元。,\nb,怎么退款？,十五天内退。,售后\nd,怎么退款,十五天内退。,售后\n";
    let file = shop.file("rules.csv", after);

    let plan = planned(command(&shop.data), &file).done();
    assert_eq!((plan.counts(), &plan.json["deleted"]), ([0, 2, 0, 1, 0, 0], &json!(1)), "{plan:?}");
    let fields = json!([
        {"field": "question", "old": "保证金多少？", "new": "保证金要多少？"},
        {"field": "category", "old": "开店", "new": ""},
    ]);
    assert_eq!(plan.json["changes"][0]["fields"], fields, "{plan:?}");
    assert_eq!(plan.json["changes"][1]["fields"], json!([{"field": "answer", "old": "七天内退。", "new": "十五天内退。"}]));
    assert_eq!((&plan.json["duplicated"][0]["row"], &plan.json["duplicated"][0]["code"]), (&json!(4), &json!("duplicate")));
    assert_eq!(plan.json["deletions"], json!([{"id": "c", "question": "几点发货？", "source": "rules.csv"}]));

    let told = planned(as_people_run_it(&shop.data), &file).done().out;
    for line in [
        "    `c` of rules.csv: 几点发货？",
        "/rules.csv row 2 changes `a`",
        "    question    before  保证金多少？\n                after   保证金要多少？",
        "    category    before  开店\n                after   –",
        "/rules.csv row 4: The same question and answer as row 3. [duplicate]",
    ] {
        assert!(told.contains(line), "{line}\nis not in\n{told}");
    }
    assert_eq!(shop.export().len(), 3, "nothing is written");
}

#[test]
fn a_plan_shows_so_many_and_counts_the_others() {
    let shop = Shop::new();
    let rows = |answer: &str, count: usize| {
        let rows = (0..count).map(|i| format!("row-{i},第{i}号仓库几点关门？,{answer}{i}。\n"));
        std::iter::once("id,question,answer\n".to_owned()).chain(rows).collect::<String>()
    };
    shop.import(&shop.file("many.csv", rows("旧", 50))).done();
    let file = shop.file("many.csv", rows("新", 25));
    let told = planned(as_people_run_it(&shop.data), &file).done().out;
    assert!(told.contains("… and 5 more changed.") && told.contains("… and 5 more deleted."), "{told}");
    assert_eq!(told.matches(" changes `row-").count(), 20);
}
