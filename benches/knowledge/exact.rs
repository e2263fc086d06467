//! What a search that leaves nothing out and rounds nothing would find: every vector of the database compared with
//! every question, in the numbers it was made of.

use merchant_copilot::ids::TenantId;
use merchant_copilot::knowledge::{Knowledge, PassageKind, Query};

/// Entries compared.
const TOP: usize = 10;
/// Entries read at once.
const PAGE: usize = 5_000;
/// Cosines this close are the same.
const SAME: f32 = 1e-6;

/// Best first: cosine and entry.
type Best = Vec<(f32, String)>;

/// The share of the ten nearest entries that the index has among its first ten; of entries that are as near as the
/// tenth any will do.
pub async fn recall(knowledge: &Knowledge, tenant: &TenantId, questions: &[String], market: Option<&str>) -> f64 {
    let (mut asked, mut found) = (Vec::new(), Vec::new());
    for question in questions {
        let query = Query { text: question.clone(), market: market.map(str::to_owned), ..Default::default() };
        let ranking = knowledge.rank(tenant, &query).await.expect("a ranking");
        let first = ranking.semantic.iter().take(TOP);
        found.push(first.map(|hit| hit.entry.to_string()).collect::<Vec<_>>());
        asked.push(ranking.asked.vector);
    }
    let nearest = nearest(knowledge, tenant, &asked, market).await;
    let told = nearest.iter().zip(&found).filter(|(nearest, _)| nearest.len() > TOP);
    let shares = told.map(|(nearest, found)| {
        let tenth = nearest[TOP - 1].0 - SAME;
        let there = nearest.iter().filter(|(cosine, entry)| *cosine >= tenth && found.contains(entry)).count();
        there.min(TOP) as f64 / TOP as f64
    });
    let shares: Vec<f64> = shares.collect();
    shares.iter().sum::<f64>() / shares.len() as f64
}

/// The nearest entries of each vector, and a few more for those that are equally near.
async fn nearest(knowledge: &Knowledge, tenant: &TenantId, asked: &[Vec<f32>], market: Option<&str>) -> Vec<Best> {
    let mut best: Vec<Best> = vec![Vec::new(); asked.len()];
    let mut after = 0;
    loop {
        let changes = knowledge.store().changes(tenant, knowledge.embedder().id(), after, PAGE).await.expect("the rows");
        let Some(last) = changes.last() else { return best };
        after = last.revision;
        for (entry, passages) in changes.into_iter().filter_map(|change| change.entry) {
            if market.is_some_and(|market| entry.draft.market.as_deref().is_some_and(|own| own != market)) {
                continue;
            }
            let own: Vec<&Vec<f32>> = passages
                .iter()
                .filter(|stored| stored.passage.kind != PassageKind::Not)
                .filter_map(|stored| stored.vector.as_ref())
                .collect();
            for (best, asked) in best.iter_mut().zip(asked) {
                let cosine = |vector: &&Vec<f32>| vector.iter().zip(asked).map(|(x, y)| x * y).sum::<f32>();
                let nearest = own.iter().map(cosine).fold(f32::NEG_INFINITY, f32::max);
                let full = best.len() > 4 * TOP;
                if !full || best.last().is_some_and(|(last, _)| nearest > *last) {
                    let at = best.partition_point(|(cosine, _)| *cosine >= nearest);
                    best.insert(at, (nearest, entry.id.to_string()));
                    best.truncate(4 * TOP + 1);
                }
            }
        }
    }
}
