//! What becomes of each row, noted down for people who look before they write, or afterwards.

use std::collections::HashMap;

use chrono_tz::Tz;
use serde_json::Value;

use super::{Judged, Left, Run};
use crate::error::{Error, Result};
use crate::ids::EntryId;
use crate::knowledge::export::object;
use crate::knowledge::imports::planned::Planned;
use crate::knowledge::plan::{Candidate, Place, Verdict};
use crate::knowledge::read::{Cells, Field, RowError};
use crate::knowledge::report::{FieldChange, RowChange};
use crate::knowledge::{EntryDraft, KnowledgeEntry};

impl Run<'_> {
    /// Notes what would become of each row, with what is in its place now.
    pub(super) async fn plan_rows(&mut self, rows: &[Judged], verdicts: &[Verdict]) -> Result<()> {
        if !self.dry_run && self.plan.is_none() {
            return Ok(());
        }
        let others: Vec<EntryId> = verdicts.iter().flat_map(|verdict| [verdict.other(), verdict.over()]).flatten().cloned().collect();
        let stored = self.knowledge.store().entries(self.tenant, &others).await?;
        let stored: HashMap<EntryId, KnowledgeEntry> = stored.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
        let mut planned = Vec::new();
        for (judged, verdict) in rows.iter().zip(verdicts) {
            let old = verdict.other().and_then(|id| stored.get(id));
            let Place { file, row } = judged.row.place;
            let name = self.files.get(file as usize).cloned().unwrap_or_default();
            if let (true, Verdict::Changed(known), Some(old)) = (self.dry_run, verdict, old) {
                let new = &judged.row.draft;
                self.report.add_change(RowChange {
                    file: name.clone(),
                    row,
                    id: known.id.clone(),
                    old: old.draft.answer.clone(),
                    new: new.answer.clone(),
                    fields: changed_fields(&old.draft, new, self.zone),
                });
            }
            let (fate, code, message) = verdict.told();
            planned.push(Planned {
                n: judged.n,
                fate: fate.to_owned(),
                file: name,
                sheet: judged.sheet.clone(),
                row,
                id: verdict.would_be().map(|id| id.as_str().to_owned()),
                code: code.map(str::to_owned),
                message: message.map(str::to_owned),
                details: verdict.details().cloned(),
                new: (fate != "unchanged").then(|| object(&judged.row.draft, self.zone)),
                old: old.map(|old| object(&old.draft, self.zone)),
                over: verdict.over().and_then(|id| stored.get(id)).map(|entry| object(&entry.draft, self.zone)),
                instead: old.filter(|_| self.dry_run && verdict.may_replace()).map(|old| {
                    let completed = judged.row.clone().completed(old);
                    object(&completed.draft, self.zone)
                }),
                // Comes with those that were not taken.
                cells: None,
            });
        }
        self.planned = planned;
        Ok(())
    }

    /// A row that somebody left out is told of as well.
    pub(super) fn plan_skipped(
        &self,
        n: u64,
        file: u32,
        row: u64,
        sheet: Option<String>,
        content: &Result<Box<Candidate>, RowError>,
    ) -> Planned {
        let new = match content {
            Ok(row) => object(&row.draft, self.zone),
            Err(error) => error.cells.to_json(),
        };
        let file = self.files.get(file as usize).cloned().unwrap_or_default();
        Planned { n, fate: "skipped".to_owned(), file, sheet, row, new: Some(new), ..Planned::default() }
    }

    /// Rows that could not even be judged, or were left out, are part of it too.
    pub(super) async fn plan_unjudged(&mut self, left: &[Left], skipped: Vec<Planned>) -> Result<()> {
        let unjudged = left.iter().filter(|left| left.status == "failed" && left.problem.code != "duplicate_id");
        let planned = unjudged.map(|Left { n, problem, cells, .. }| Planned {
            n: *n,
            fate: "failed".to_owned(),
            file: problem.file.clone(),
            sheet: problem.sheet.clone(),
            row: problem.row,
            code: Some(problem.code.to_owned()),
            message: Some(problem.message.clone()),
            new: Some(cells.to_json()),
            ..Planned::default()
        });
        // As they stand in their file, which the judged rows do already.
        let mut rows = std::mem::take(&mut self.planned);
        rows.extend(planned);
        // A page makes the same table of them as `--report`.
        let to_correct = left.iter().filter(|left| left.is_to_correct());
        let cells: HashMap<u64, Value> = to_correct.map(|left| (left.n, left.cells.to_json())).collect();
        for row in &mut rows {
            row.cells = cells.get(&row.n).cloned();
        }
        rows.extend(skipped);
        rows.sort_by_key(|row| row.n);
        self.write_plan(rows).await
    }

    /// Adds rows to the plan on disk, when there is to be one.
    pub(super) async fn write_plan(&mut self, rows: Vec<Planned>) -> Result<()> {
        let Some(mut plan) = self.plan.take() else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || {
            rows.iter().try_for_each(|row| plan.add(row))?;
            Ok::<_, Error>(plan)
        });
        self.plan = Some(written.await??);
        Ok(())
    }
}

/// What differs between an entry and the row that changes it, but for its name.
fn changed_fields(old: &EntryDraft, new: &EntryDraft, zone: Tz) -> Vec<FieldChange> {
    let (old, new) = (Cells::of(old, zone), Cells::of(new, zone));
    let changed = Field::ALL.into_iter().filter(|field| *field != Field::Id && old.get(*field) != new.get(*field));
    let change =
        |field: Field| FieldChange { field: field.name().to_owned(), old: old.get(field).to_owned(), new: new.get(field).to_owned() };
    changed.map(change).collect()
}
