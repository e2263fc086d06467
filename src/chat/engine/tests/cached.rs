//! Answers given again, over the real engine and store: whatever was asked and edited before, an answer is about the
//! row as it is now, of the asker's shop and market, and about the number that was asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::ids::EntryId;
use crate::knowledge::Decision;

const MARKETS: [&str; 2] = ["SG", "CN"];
const NUMBERS: [u32; 3] = [3, 30, 300];
const STEPS: usize = 60;

/// Answers with the question and the sources as it reads them, and counts how often it is asked.
#[derive(Default)]
struct Echo(AtomicUsize);

#[async_trait]
impl ChatModel for Echo {
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let sources: Vec<&str> = request.grounding.iter().map(|source| source.text.as_str()).collect();
        let said = format!("问的是「{}」，{}[1]", request.question, sources.concat());
        let deltas = [Ok(Delta::Text(said)), Ok(Delta::Finish(FinishReason::Stop))];
        Ok(futures::stream::iter(deltas).boxed())
    }
}

fn row(tenant: &TenantId, market: &str, version: usize) -> EntryDraft {
    EntryDraft {
        id: Some(format!("address-{market}")),
        question: QUESTION.to_owned(),
        answer: format!("退货地址在 {tenant}-{market}-v{version}- 的店铺设置里修改，保存后立即生效。"),
        market: Some(market.to_owned()),
        ..EntryDraft::default()
    }
}

#[tokio::test]
async fn an_answer_given_again_is_of_this_row_shop_market_and_number() {
    for seed in 0..3 {
        let echo = Arc::new(Echo::default());
        let shop = Shop::with(Arc::clone(&echo) as Arc<dyn ChatModel>, |config| config.cache.enabled = true).await;
        let others = TenantId::parse("other").unwrap();
        shop.tenants.add(&others, "Other").await.unwrap();
        let callers = [shop.caller.clone(), Caller { tenant: others, owner: OwnerId::from_text("p"), ..shop.caller.clone() }];
        let mut versions = [[1, 1], [1, 1]];
        for caller in &callers {
            for market in MARKETS {
                shop.knowledge.add(&caller.tenant, row(&caller.tenant, market, 1), true, "test").await.unwrap();
            }
        }
        shop.knowledge.catch_up().await.unwrap();
        let (mut random, mut grounded, mut again) = (StdRng::seed_from_u64(seed), 0, 0);
        for step in 0..STEPS {
            let (whose, which) = (random.random_range(0..2_usize), random.random_range(0..2_usize));
            let (caller, market) = (&callers[whose], MARKETS[which]);
            if random.random_range(0..6_u8) == 0 {
                versions[whose][which] += 1;
                let id = EntryId::from_text(format!("address-{market}"));
                let draft = row(&caller.tenant, market, versions[whose][which]);
                shop.knowledge.change(&caller.tenant, &id, draft, None, "test").await.unwrap();
                shop.knowledge.catch_up().await.unwrap();
                continue;
            }
            let number = NUMBERS[random.random_range(0..NUMBERS.len())];
            let text = format!("{}满 {number} 件订单的退货地址在哪里修改？", ["", "请问"][random.random_range(0..2_usize)]);
            let request = ChatRequest { text: text.clone(), market: Some(market.to_owned()), channel: "test", ..ChatRequest::default() };
            let accepted = shop.engine.answer(caller, request).await.unwrap();
            let batches: Vec<_> = accepted.events.until_idle().collect().await;
            let events: Vec<EventKind> = batches.into_iter().flat_map(|batch| batch.unwrap()).map(|event| event.kind).collect();
            let told = events.iter().any(|event| matches!(event, EventKind::ResponseSources { decision: Decision::Grounded, .. }));
            if !told {
                continue;
            }
            grounded += 1;
            let (_, said) = said(&events);
            let current = format!("{}-{market}-v{}-", caller.tenant, versions[whose][which]);
            assert!(said.contains(&current), "seed {seed}, step {step}: {text} for {current}: {said}");
            assert!(said.contains(&format!("满 {number} 件")), "seed {seed}, step {step}: {text}: {said}");
            let cached = |event: &EventKind| matches!(event, EventKind::ResponseDone(done) if done.usage.cached);
            again += usize::from(events.iter().any(cached));
        }
        assert_eq!(echo.0.load(Ordering::Relaxed) + again, grounded, "a call is saved for each answer given again");
        assert!(grounded > STEPS / 2 && again > 5, "seed {seed}: {grounded} answers, {again} of them again");
    }
}
