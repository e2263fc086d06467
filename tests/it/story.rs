//! One story, walked on both databases: every store function in the order a shop would use it.

use merchant_copilot::db::Db;
use merchant_copilot::ids::{Clock, EntryId, OwnerId, TenantId, Timestamp};
use merchant_copilot::knowledge::store::{EntryWrite, KnowledgeStore, Selection, StoredPassage};
use merchant_copilot::knowledge::versions::Action;
use merchant_copilot::knowledge::{EntryDraft, Passage, PassageKind};
use merchant_copilot::memory::{Memory, NewTurn, Outcome};
use merchant_copilot::on;
use merchant_copilot::tenants::{Credentials, NewKey, Role, SESSION_MS, Tenants};
use serde_json::json;

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    story(Db::open("", folder.path()).await.unwrap()).await;
}

#[tokio::test]
async fn postgres() {
    let Some(url) = super::postgres_database("story").await else { return };
    story(Db::open(&url, std::path::Path::new(".")).await.unwrap()).await;
}

async fn story(db: Db) {
    let clock = Clock::fixed(Timestamp(1_000_000));
    let (shop, other) = (TenantId::parse("shop").unwrap(), TenantId::parse("other").unwrap());
    let tenants = Tenants::new(db.clone(), clock.clone());
    tenants.add(&shop, "Shop").await.unwrap();
    tenants.add(&other, "Other").await.unwrap();
    assert_eq!(tenants.add(&shop, "Again").await.unwrap_err().code(), "tenant_exists");
    assert_eq!(tenants.list().await.unwrap().len(), 2);
    let unknown = tenants.get(&TenantId::parse("nobody").unwrap()).await.unwrap_err();
    assert!(unknown.code() == "tenant_not_found" && unknown.message().contains("tenant add nobody"));
    keys(&tenants, &shop, &other).await;
    site_keys(&tenants, &clock, &shop).await;
    sign_ins(&tenants, &clock, &shop).await;
    knowledge(&db, &clock, &shop, &other).await;
    conversations(&db, &clock, &shop, &other).await;
    // Opening again changes nothing: migrations are idempotent.
    on!(&db, pool => sqlx::query("select 1").execute(pool).await.map(drop)).unwrap();
}

fn new_key(role: Role, origins: &[&str]) -> NewKey {
    NewKey { role, origins: origins.iter().map(|&origin| origin.to_owned()).collect(), label: "a program".into(), expires: None }
}

fn shown<'a>(key: &'a str, origin: Option<&'a str>) -> Credentials<'a> {
    Credentials { key, origin, visitor: None }
}

async fn keys(tenants: &Tenants, shop: &TenantId, other: &TenantId) {
    let (key, secret) = tenants.issue(shop, new_key(Role::Member, &[])).await.unwrap();
    let caller = tenants.verify(shown(secret.reveal(), None)).await.unwrap().caller;
    assert_eq!((&caller.tenant, caller.role, caller.owner.as_str()), (shop, Role::Member, key.id.as_str()));
    assert_eq!(tenants.keys(shop).await.unwrap(), std::slice::from_ref(&key));
    assert!(tenants.keys(other).await.unwrap().is_empty());
    assert_eq!(tenants.verify(shown("mc_member_wrong", None)).await.unwrap_err().code(), "invalid_key");
    assert_eq!(tenants.revoke(other, &key.id).await.unwrap_err().code(), "key_not_found");
    tenants.revoke(shop, &key.id).await.unwrap();
    assert_eq!(tenants.verify(shown(secret.reveal(), None)).await.unwrap_err().code(), "invalid_key");
}

async fn site_keys(tenants: &Tenants, clock: &Clock, shop: &TenantId) {
    assert_eq!(tenants.issue(shop, new_key(Role::Site, &[])).await.unwrap_err().code(), "origin_required");
    assert_eq!(tenants.issue(shop, new_key(Role::Admin, &["https://a.com"])).await.unwrap_err().code(), "origins_only_for_site");
    let expires = Some(Timestamp(clock.now().0 + 10));
    let (_, secret) = tenants.issue(shop, NewKey { expires, ..new_key(Role::Site, &["https://*.a.com"]) }).await.unwrap();
    assert_eq!(tenants.verify(shown(secret.reveal(), None)).await.unwrap_err().code(), "origin_not_allowed");
    let page = Some("https://shop.a.com");
    let first = tenants.verify(shown(secret.reveal(), page)).await.unwrap();
    let again = tenants.verify(Credentials { visitor: first.visitor_token.as_deref(), ..shown(secret.reveal(), page) }).await.unwrap();
    assert_eq!(first.caller.owner, again.caller.owner);
    assert!(tenants.is_known_origin("https://shop.a.com").await.unwrap());
    assert!(!tenants.is_known_origin("https://a.com").await.unwrap());
    clock.set(Timestamp(clock.now().0 + 10));
    assert_eq!(tenants.verify(shown(secret.reveal(), page)).await.unwrap_err().code(), "invalid_key");
    assert!(!tenants.is_known_origin("https://shop.a.com").await.unwrap());

    let demo = tenants.ensure_demo_site_key(shop, &["http://127.0.0.1:1".into()]).await.unwrap();
    let moved = tenants.ensure_demo_site_key(shop, &["http://127.0.0.1:2".into()]).await.unwrap();
    assert_eq!(demo.reveal(), moved.reveal());
    assert!(tenants.verify(shown(demo.reveal(), Some("http://127.0.0.1:1"))).await.is_err());
    assert!(tenants.verify(shown(demo.reveal(), Some("http://127.0.0.1:2"))).await.is_ok());
}

async fn sign_ins(tenants: &Tenants, clock: &Clock, shop: &TenantId) {
    let link = tenants.issue_link(shop).await.unwrap();
    let (one, two) = tokio::join!(tenants.redeem_link(link.reveal()), tenants.redeem_link(link.reveal()));
    assert_eq!([&one, &two].iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(one.or(two).unwrap(), *shop);
    let session = tenants.open_session(shop).await.unwrap();
    assert_eq!(tenants.redeem_link(session.reveal()).await.unwrap_err().code(), "invalid_link");
    assert_eq!(tenants.session(session.reveal()).await.unwrap().role, Role::Admin);
    tenants.end_session(session.reveal()).await.unwrap();
    assert_eq!(tenants.session(session.reveal()).await.unwrap_err().code(), "invalid_session");
    let session = tenants.open_session(shop).await.unwrap();
    clock.set(Timestamp(clock.now().0 + SESSION_MS));
    assert_eq!(tenants.session(session.reveal()).await.unwrap_err().code(), "invalid_session");
    clock.set(Timestamp(1_000_000));
}

fn write(id: &str, question: &str, vector: Vec<f32>) -> EntryWrite {
    let draft = EntryDraft {
        question: question.into(),
        answer: "交 60,000 元。".into(),
        similar: vec!["要多少保证金".into()],
        source: Some("rules.csv".into()),
        direct: true,
        valid_to: Some(Timestamp(2_000_000)),
        ..Default::default()
    };
    let passage = Passage { seq: 0, kind: PassageKind::Phrasing, text: question.into() };
    EntryWrite {
        id: EntryId::from_text(id),
        draft,
        question_key: question.into(),
        content_hash: format!("hash of {question}"),
        passages: vec![StoredPassage { passage, vector: Some(vector) }],
    }
}

async fn knowledge(db: &Db, clock: &Clock, shop: &TenantId, other: &TenantId) {
    let store = KnowledgeStore::new(db.clone(), clock.clone());
    assert_eq!(store.revision().await.unwrap(), 0);
    let first = store.commit(shop, "e1", &[write("a", "保证金", vec![0.5, -0.5]), write("b", "清关", vec![1.0, 0.0])], &[]).await.unwrap();
    assert_eq!(first, 1);
    assert_eq!(store.commit(shop, "e1", &[], &[]).await.unwrap(), 1, "nothing to do is no revision");

    let changes = store.changes(shop, "e1", 0, 1).await.unwrap();
    assert_eq!(changes.len(), 2, "a revision is never cut in half");
    let (entry, passages) = changes[0].entry.clone().unwrap();
    assert_eq!((entry.draft.question.as_str(), entry.draft.direct), ("保证金", true));
    assert_eq!(passages[0].vector.as_deref(), Some([0.5, -0.5].as_slice()), "vectors survive to the bit");
    assert!(store.changes(shop, "another", 0, 9).await.unwrap()[0].entry.as_ref().unwrap().1[0].vector.is_none());
    assert!(store.changes(other, "e1", 0, 9).await.unwrap().is_empty(), "another tenant sees no change");
    assert!(store.entries(other, &[EntryId::from_text("a")]).await.unwrap().is_empty());

    let known = store.known(shop, "e2", &[EntryId::from_text("a"), EntryId::from_text("zzz")]).await.unwrap();
    assert!(known.len() == 1 && known[0].stale_vectors);
    assert_eq!(store.with_question_keys(shop, &["清关".into()]).await.unwrap().len(), 1);
    assert_eq!(store.stale(shop, "e2", 9).await.unwrap().len(), 2);
    assert_eq!(store.page(shop, Some(&EntryId::from_text("a")), 9).await.unwrap()[0].id.as_str(), "b");

    let stats = store.stats(shop, "e1").await.unwrap();
    assert_eq!((stats.entries, stats.passages, stats.expiring_7d, stats.expired), (2, 2, 2, 0));
    let same = store.selected(shop, &Selection::Source("rules.csv".into())).await.unwrap();
    assert_eq!(same.len(), 2);
    let second = store.commit(shop, "e1", &[], &[EntryId::from_text("b")]).await.unwrap();
    let changes = store.changes(shop, "e1", first, 9).await.unwrap();
    assert!(changes.len() == 1 && changes[0].entry.is_none() && changes[0].revision == second);
    assert_eq!(store.selected(shop, &Selection::All).await.unwrap().len(), 1);

    // What was changed or deleted is kept, for its own tenant.
    let a = EntryId::from_text("a");
    let again = store.commit_by(shop, "e1", &[write("a", "保证金", vec![0.5, -0.5])], &[], "k_1").await.unwrap();
    assert!(store.versions(shop, &a, 9).await.unwrap().is_empty(), "the same content is no change");
    let third = store.commit_by(shop, "e1", &[write("a", "押金", vec![0.5, -0.5])], &[], "k_1").await.unwrap();
    let versions = store.versions(shop, &a, 9).await.unwrap();
    assert_eq!((versions.len(), versions[0].revision, versions[0].by.as_str()), (1, third, "k_1"));
    assert_eq!((versions[0].before.question.as_str(), versions[0].before.direct), ("保证金", true));
    assert!(again < third && store.versions(other, &a, 9).await.unwrap().is_empty());
    let gone = &store.versions(shop, &EntryId::from_text("b"), 9).await.unwrap()[0];
    assert_eq!((gone.revision, gone.action), (second, Action::Deleted));
    let second = third;
    assert_eq!(store.tenant_revision(shop).await.unwrap(), second);
    assert_eq!(store.database_id().await.unwrap(), store.database_id().await.unwrap());
}

async fn conversations(db: &Db, clock: &Clock, shop: &TenantId, other: &TenantId) {
    let memory = Memory::new(db.clone(), clock.clone());
    let (me, you) = (OwnerId::from_text("v_me"), OwnerId::from_text("v_you"));
    let mut new =
        NewTurn {
            owner: &me, conversation: None, channel: "ws", client_msg_id: Some("m1"), question: "保证金多少？", model: "builtin"
        };
    let first = memory.record_question(shop, &new).await.unwrap();
    assert!(!first.duplicate && first.turn.ordinal == 1);
    let again = memory.record_question(shop, &new).await.unwrap();
    assert!(again.duplicate && again.turn.id == first.turn.id, "the same message is stored once");
    let outcome = Outcome {
        query: "保证金".into(),
        answer: "60,000 元 [1]".into(),
        status: "completed".into(),
        finish_reason: "stop".into(),
        sources: json!([{"n": 1}]),
        citations: json!([]),
        suggestions: json!([]),
        usage: json!({}),
        timings: json!({}),
        trace: json!({"k": 1}),
        ..Default::default()
    };
    memory.record_outcome(shop, &first.turn.id, &outcome).await.unwrap();

    new.conversation = Some(&first.turn.conversation_id);
    new.client_msg_id = Some("m2");
    let second = memory.record_question(shop, &new).await.unwrap();
    assert_eq!(second.turn.ordinal, 2);
    let earlier = memory.earlier(shop, &first.turn.conversation_id, 2, 9).await.unwrap();
    assert_eq!((earlier.len(), earlier[0].query.as_str()), (1, "保证金"));

    // Nobody else sees it: not another visitor, not another tenant.
    let conversation = &first.turn.conversation_id;
    assert!(memory.conversation(shop, Some(&me), conversation).await.is_ok());
    for (tenant, owner) in [(shop, &you), (other, &me)] {
        assert_eq!(memory.conversation(tenant, Some(owner), conversation).await.unwrap_err().code(), "conversation_not_found");
        assert_eq!(memory.turn(tenant, Some(owner), &first.turn.id).await.unwrap_err().code(), "response_not_found");
        let stolen = NewTurn { owner, client_msg_id: None, ..new.clone() };
        assert_eq!(memory.record_question(tenant, &stolen).await.unwrap_err().code(), "conversation_not_found");
        assert!(memory.conversations(tenant, Some(owner), 9).await.unwrap().is_empty());
    }
    assert_eq!(memory.turns(shop, conversation).await.unwrap().len(), 2);
    assert_eq!(memory.turn(shop, None, &first.turn.id).await.unwrap().trace, json!({"k": 1}));
    // With an age of 0 every running turn is one that a crash left.
    assert_eq!(memory.end_interrupted(0).await.unwrap(), 1);
    assert_eq!(memory.turn(shop, None, &second.turn.id).await.unwrap().status, "incomplete");
}
