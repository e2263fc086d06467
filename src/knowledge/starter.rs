//! The starter pack, compiled in: `knowledge/starter` goes through the same reader, plan and ingest
//! as a merchant's own file.

use rust_embed::RustEmbed;

use super::Knowledge;
use super::ingest::{ImportOptions, import_sources};
use super::read::Source;
use super::report::ImportReport;
use crate::error::Result;
use crate::ids::TenantId;

#[derive(RustEmbed)]
#[folder = "knowledge/starter"]
struct Pack;

/// Imports the starter pack; run again after an interruption it goes on where it stopped.
pub async fn import_starter(knowledge: &Knowledge, tenant: &TenantId, zone: chrono_tz::Tz) -> Result<ImportReport> {
    let mut names: Vec<_> = Pack::iter().collect();
    names.sort();
    let mut sources = Vec::with_capacity(names.len());
    for name in &names {
        if let Some(file) = Pack::get(name) {
            sources.push(Source::memory(&format!("starter/{name}"), file.data.into_owned(), None)?);
        }
    }
    // The pack is reviewed here; rows that differ by market or date only are meant so.
    let options = ImportOptions { as_is: true, ..Default::default() };
    import_sources(knowledge, tenant, sources, options, zone, |_| {}).await
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::knowledge::evaluate::read_labelled;
    use crate::knowledge::text::question_key;

    const LABELLED: [&str; 4] = [
        include_str!("../../knowledge/eval/starter.jsonl"),
        include_str!("../../knowledge/eval/everyday.jsonl"),
        include_str!("../../knowledge/eval/off_topic.jsonl"),
        include_str!("../../knowledge/eval/follow_ups.jsonl"),
    ];

    #[test]
    fn no_labelled_question_is_a_phrasing_of_the_pack() {
        let mut phrasings = HashSet::new();
        for name in Pack::iter() {
            let file = Pack::get(&name).unwrap();
            let source = Source::memory(&format!("starter/{name}"), file.data.into_owned(), None).unwrap();
            for row in source.open(None, chrono_tz::UTC).unwrap() {
                let draft = row.draft.unwrap();
                let told = [&draft.question].into_iter().chain(&draft.similar).chain(&draft.negative);
                phrasings.extend(told.map(|text| question_key(text)).filter(|key| !key.is_empty()));
            }
        }
        assert!(phrasings.len() > 1_000, "{}", phrasings.len());
        let labelled = LABELLED.iter().flat_map(|text| read_labelled(text).unwrap());
        let leaked: Vec<_> = labelled.map(|question| question.query).filter(|query| phrasings.contains(&question_key(query))).collect();
        assert!(leaked.is_empty(), "measured on what it was taught: {leaked:?}");
    }
}
