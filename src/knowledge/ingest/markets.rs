//! Markets that are called like no country: a slip of the pen there makes rows that nobody finds, so an
//! import says where they are. A shop may call its markets as it likes: what it has already is no slip.

use std::collections::{BTreeMap, HashSet};

use super::ahead::Item;
use super::{Batch, Run};
use crate::error::Result;
use crate::knowledge::index::market_key;
use crate::knowledge::places;

/// Names that are told.
const TOLD: usize = 10;

/// What there is to say about the markets of an import.
#[derive(Default)]
pub struct Strange {
    /// What the base had before, once somebody had to know.
    stored: Option<HashSet<String>>,
    /// By file and name: the first row, and how many there are.
    found: BTreeMap<(u32, String), (u64, u64)>,
}

impl Run<'_> {
    /// Before anything of the batch is written.
    pub(super) async fn look_at_markets(&mut self, batch: &Batch) -> Result<()> {
        for item in batch {
            let Item::Row { file, row, content: Ok(content), .. } = item else { continue };
            let Some(market) = content.draft.market.as_ref().filter(|market| !places::is_known(market)) else { continue };
            let stored = match &mut self.strange.stored {
                Some(stored) => stored,
                empty => {
                    let stored = self.knowledge.store().markets(self.tenant).await?;
                    empty.insert(stored.iter().map(|market| market_key(market)).collect())
                }
            };
            let named = (*file, market.clone());
            let found = &mut self.strange.found;
            if !stored.contains(&market_key(market)) && (found.len() < TOLD || found.contains_key(&named)) {
                found.entry(named).or_insert((*row, 0)).1 += 1;
            }
        }
        Ok(())
    }

    /// Says so at the end.
    pub(super) fn note_markets(&mut self) {
        for ((file, market), (row, count)) in std::mem::take(&mut self.strange.found) {
            let file = self.files.get(file as usize).map_or("", String::as_str);
            let rows = if count == 1 { format!("row {row}") } else { format!("{count} rows, the first is {row}") };
            self.report.notes.push(format!(
                "{file}: market `{market}` ({rows}) is no country that is known here; only who asks in that market is answered from it. If it is a slip, write a country's code or name, or nothing for all markets"
            ));
        }
    }
}
