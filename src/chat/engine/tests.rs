//! The engine when its own code breaks: a panic in the middle of a turn.

use async_trait::async_trait;
use futures::StreamExt;
use tempfile::TempDir;

use super::*;
use crate::chat::{EventKind, Status};
use crate::config::{Config, Overrides};
use crate::db::Db;
use crate::ids::{Clock, KeyId, OwnerId};
use crate::knowledge::{EntryDraft, KnowledgeParts};
use crate::models::{ChatModel, CompletionRequest, Delta, DeltaStream, FinishReason, ModelError, embed};
use crate::safety::SafetyParts;
use crate::tenants::{Role, Tenants};

mod cached;
mod paid;

const QUESTION: &str = "退货地址在哪里修改？";
const SENTENCE: &str = "退货地址在店铺设置里修改，保存后立即生效[1]。";

/// Says the sentence so often and then panics, when the question wants it to.
struct Breaks(usize);

#[async_trait]
impl ChatModel for Breaks {
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError> {
        let breaks = !request.question.contains("好好");
        assert!(!(breaks && self.0 == 0), "scripted");
        let said = futures::stream::iter(0..self.0.max(1)).map(|_| Ok(Delta::Text(SENTENCE.to_owned())));
        let end = futures::stream::once(async move {
            assert!(!breaks, "scripted");
            Ok(Delta::Finish(FinishReason::Stop))
        });
        Ok(said.chain(end).boxed())
    }
}

struct Shop {
    engine: ChatEngine,
    memory: Memory,
    knowledge: Knowledge,
    tenants: Tenants,
    caller: Caller,
    _folder: TempDir,
}

impl Shop {
    async fn open(model: Breaks) -> Self {
        Self::with(Arc::new(model), |_| ()).await
    }

    async fn with(model: Arc<dyn ChatModel>, change: fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::load(None, &Overrides::default()).unwrap();
        config.chat.rewrite_model = "off".to_owned();
        change(&mut config);
        let (db, clock) = (Db::open("", folder.path()).await.unwrap(), Clock::system());
        let tenant = TenantId::parse("shop").unwrap();
        let tenants = Tenants::new(db.clone(), clock.clone());
        tenants.add(&tenant, "Shop").await.unwrap();
        let knowledge = Knowledge::open(KnowledgeParts {
            db: db.clone(),
            clock: clock.clone(),
            embedder: embed::open(&config.embedder).unwrap(),
            embedding: config.embedder.clone(),
            index_dir: folder.path().join("index"),
            index: config.index_place(),
            reranker: None,
            search: config.search,
        })
        .await
        .unwrap();
        let answer = "在 店铺设置 > 退货地址 里修改，保存后立即生效。".to_owned();
        let draft = EntryDraft { question: QUESTION.to_owned(), answer, ..EntryDraft::default() };
        knowledge.add(&tenant, draft, false, "test").await.unwrap();
        knowledge.catch_up().await.unwrap();
        let ledger = Ledger::new(db.clone(), clock.clone(), config.zone(), config.spend.clone(), &[]).unwrap();
        let memory = Memory::new(db.clone(), clock.clone());
        let safety = SafetyParts { config: &config.safety, judge: None, ledger: ledger.clone(), db: db.clone(), clock: clock.clone() };
        let engine = ChatEngine::new(EngineParts {
            knowledge: knowledge.clone(),
            memory: memory.clone(),
            models: Arc::new(Models::speaking(&config.models, "breaks", model)),
            ledger,
            prompts: Prompts::open(db.clone(), clock.clone(), std::path::Path::new("")).await.unwrap(),
            safety: Safety::new(safety).unwrap(),
            cache: AnswerCache::new(config.cache.clone(), clock),
            traces: Traces::default(),
            sources: config.search.sources,
            zone: config.zone(),
            config: config.chat,
            answers: config.answers,
        });
        let caller = Caller { tenant, role: Role::Member, key: KeyId::from_text("k"), owner: OwnerId::from_text("o") };
        Self { engine, memory, knowledge, tenants, caller, _folder: folder }
    }

    /// Asks and reads until nothing is under way: the turn's id, and what came.
    async fn ask(&self, text: &str, conversation: Option<ConversationId>) -> (TurnId, Vec<EventKind>) {
        let request = ChatRequest { text: text.to_owned(), conversation_id: conversation, channel: "test", ..ChatRequest::default() };
        let accepted = self.engine.answer(&self.caller, request).await.unwrap();
        let batches: Vec<_> = accepted.events.until_idle().collect().await;
        (accepted.response_id, batches.into_iter().flat_map(|batch| batch.unwrap()).map(|event| event.kind).collect())
    }
}

fn ends(events: &[EventKind]) -> Vec<Status> {
    events.iter().filter_map(|event| if let EventKind::ResponseDone(done) = event { Some(done.status) } else { None }).collect()
}

fn said(events: &[EventKind]) -> (String, String) {
    let (mut deltas, mut whole) = (String::new(), String::new());
    for event in events {
        match event {
            EventKind::ResponseTextDelta { delta, .. } => deltas.push_str(delta),
            EventKind::ResponseTextDone { text } => whole.push_str(text),
            _ => {}
        }
    }
    (deltas, whole)
}

#[tokio::test]
async fn a_turn_that_panics_ends_once_keeps_what_it_said_and_holds_nobody_up() {
    for sentences in [0, 1, 40] {
        let shop = Shop::open(Breaks(sentences)).await;
        let (id, events) = shop.ask(QUESTION, None).await;
        assert_eq!(ends(&events), [Status::Incomplete], "{sentences}: {events:?}");
        assert!(matches!(events.last(), Some(EventKind::ResponseDone(_))), "{events:?}");
        let (deltas, whole) = said(&events);
        assert_eq!(deltas, whole, "what was told is the text");
        assert!(sentences < 40 || deltas.contains(SENTENCE), "{deltas}");
        let stored = shop.memory.turn(&shop.caller.tenant, None, &id).await.unwrap();
        assert_eq!((stored.question.as_str(), stored.status.as_str(), stored.answer), (QUESTION, "incomplete", whole));
        assert_eq!(stored.error.unwrap()["code"], "panicked");
        assert!(shop.engine.0.running.locked().is_empty());
        // The conversation goes on.
        let (_, next) = shop.ask("好好说，退货地址在哪里修改？", Some(stored.conversation_id)).await;
        assert_eq!(ends(&next), [Status::Completed], "{next:?}");
        // The task lets go of its place.
        tokio::time::timeout(Duration::from_secs(5), shop.engine.shutdown()).await.unwrap();
    }
}
