//! The room's front door: which guardrails look at which text of which shop, and the audit.

use std::collections::HashMap;
use std::sync::Arc;

use super::chain::{Rules, check};
use super::hold::HoldBack;
use super::injection::{Control, Injection};
use super::judge::Judge;
use super::links::Links;
use super::personal::PersonalData;
use super::seen::{self, Seen};
use super::words::WordList;
use super::{Action, AuditedVerdict, Checked, Guardrail, Look, Notes, Rule, Stage, store};
use crate::config::SafetyConfig;
use crate::db::Db;
use crate::error::Result;
use crate::ids::{Clock, TenantId, Timestamp, TurnId};
use crate::ledger::{Beside, Ledger};
use crate::models::{Language, Model};
use crate::telemetry;

/// What the guardrails are built from.
pub struct SafetyParts<'a> {
    /// What the operator decided.
    pub config: &'a SafetyConfig,
    /// The model that judges questions, if the operator wants one.
    pub judge: Option<Arc<Model>>,
    /// Told what the judge costs.
    pub ledger: Ledger,
    /// Where verdicts are audited.
    pub db: Db,
    /// Time.
    pub clock: Clock,
}

/// Checks questions, sources and answers. Cheap to clone.
#[derive(Clone)]
pub struct Safety(Arc<Inner>);

struct Inner {
    config: SafetyConfig,
    /// The word lists of shops that have one of their own.
    of_tenants: HashMap<String, Words>,
    of_all: Words,
    judge: Option<Arc<dyn Guardrail>>,
    seen: Seen,
    db: Db,
    clock: Clock,
}

/// A shop's words: a question with one is refused, an answer goes on without it.
#[derive(Clone)]
struct Words {
    asked: Arc<WordList>,
    said: Arc<WordList>,
}

impl Words {
    fn new(words: &[String]) -> Result<Self> {
        let list = |action| WordList::new("words", action, words.iter().map(String::as_str)).map(Arc::new);
        Ok(Self { asked: list(Action::Refuse)?, said: list(Action::Redact)? })
    }
}

impl Safety {
    /// Builds the guardrails.
    ///
    /// # Errors
    /// `bad_word_list`.
    pub fn new(parts: SafetyParts<'_>) -> Result<Self> {
        let SafetyParts { config, judge, ledger, db, clock } = parts;
        let own = config.tenants.iter().map(|(tenant, own)| {
            let words: Vec<String> = config.words.iter().chain(&own.words).cloned().collect();
            Ok((tenant.clone(), Words::new(&words)?))
        });
        Ok(Self(Arc::new(Inner {
            of_tenants: own.collect::<Result<_>>()?,
            of_all: Words::new(&config.words)?,
            config: config.clone(),
            judge: judge.map(|model| Arc::new(Judge::new(model, ledger)) as Arc<dyn Guardrail>),
            seen: Seen::default(),
            db,
            clock,
        })))
    }

    /// A question before it is stored, by rules. What is personal or forbidden in it is replaced.
    pub async fn question(&self, tenant: &TenantId, text: &str) -> Checked {
        let look = Look { tenant, stage: Stage::Question, language: Language::of(text), beside: None };
        check(&[self.asking(tenant)], text, &look).await
    }

    /// A question that the rules let through, by the model that judges, where the operator wants one: what it costs
    /// is noted in `beside`.
    pub async fn judge(&self, tenant: &TenantId, text: &str, beside: &Beside) -> Checked {
        let look = Look { tenant, stage: Stage::Question, language: Language::of(text), beside: Some(beside) };
        check(self.0.judge.as_slice(), text, &look).await
    }

    /// The rules for a question.
    fn asking(&self, tenant: &TenantId) -> Arc<dyn Guardrail> {
        let mut rules = self.personal(PersonalData::default());
        rules.push(Arc::new(Control));
        rules.push(Arc::clone(&self.words(tenant).asked) as Arc<dyn Rule>);
        match self.0.config.injection.as_str() {
            "flag" => rules.push(Arc::new(Injection(Action::Flag))),
            "refuse" => rules.push(Arc::new(Injection(Action::Refuse))),
            _ => {}
        }
        Arc::new(Rules(rules))
    }

    /// What comes beside a question, such as an earlier message or the words under a rating: personal data in it
    /// neither leaves nor stays either.
    pub async fn aside(&self, tenant: &TenantId, text: &str) -> Checked {
        let mut rules = self.personal(PersonalData::default());
        rules.push(Arc::new(Control));
        let look = Look { tenant, stage: Stage::Question, language: Language::of(text), beside: None };
        check(&[Arc::new(Rules(rules))], text, &look).await
    }

    /// A retrieved text before a model reads it: sentences that speak to the model go.
    pub async fn source(&self, tenant: &TenantId, text: &str) -> Checked {
        let key = seen::key(["source", tenant.as_str(), text]);
        if let Some(checked) = self.0.seen.get(&key, text) {
            return checked;
        }
        // Phones and addresses in the shop's own knowledge are published by it.
        let mut rules = self.personal(PersonalData::beside([text]));
        rules.push(Arc::new(Control));
        rules.push(Arc::clone(&self.words(tenant).said) as Arc<dyn Rule>);
        if self.0.config.injection != "off" {
            rules.push(Arc::new(Injection(Action::Redact)));
        }
        let look = Look { tenant, stage: Stage::Source, language: Language::of(text), beside: None };
        let checked = check(&[Arc::new(Rules(rules))], text, &look).await;
        self.0.seen.keep(key, text, &checked);
        checked
    }

    /// A text of a row as it may be shown: like an answer that is drawn from `given`.
    pub fn shown(&self, tenant: &TenantId, language: Language, text: &str, given: &[&str]) -> Checked {
        let said_in = match language {
            Language::Zh => "shown.zh",
            Language::En => "shown.en",
        };
        let key = seen::key([said_in, tenant.as_str(), text].into_iter().chain(given.iter().copied()));
        if let Some(checked) = self.0.seen.get(&key, text) {
            return checked;
        }
        let mut hold = self.answer(tenant, language, given, "");
        let shown = hold.push(text) + &hold.finish();
        let checked = Checked { text: shown, refused: false, notes: hold.notes().clone() };
        self.0.seen.keep(key, text, &checked);
        checked
    }

    /// Watches an answer that is drawn from `sources`; `instruction` is what it may not repeat.
    pub fn answer(&self, tenant: &TenantId, language: Language, sources: &[&str], instruction: &str) -> HoldBack {
        let mut rules = self.personal(PersonalData::beside(sources.iter().copied()));
        rules.push(Arc::clone(&self.words(tenant).said) as Arc<dyn Rule>);
        if self.0.config.links {
            rules.push(Arc::new(Links::of(&self.0.config.link_hosts, sources.iter().copied())));
        }
        if self.0.config.injection != "off"
            && let Ok(sentences) = WordList::sentences("prompt_leak", instruction)
        {
            rules.push(Arc::new(sentences));
        }
        HoldBack::new(rules, language)
    }

    /// Audits a turn's verdicts.
    pub async fn record(&self, tenant: &TenantId, turn: &TurnId, notes: &Notes) -> Result<()> {
        for (stage, rule, action, hits) in notes.iter() {
            let labels = [
                ("tenant", tenant.to_string()),
                ("stage", format!("{stage:?}").to_lowercase()),
                ("rule", rule.to_owned()),
                ("action", format!("{action:?}").to_lowercase()),
            ];
            metrics::counter!(telemetry::SAFETY_FINDINGS, &labels).increment(u64::from(hits));
        }
        if !notes.is_empty() {
            store::record(&self.0.db, tenant, turn, notes, self.0.clock.now()).await?;
        }
        Ok(())
    }

    /// The newest verdicts of a shop from `since` on and before `before`.
    pub async fn verdicts(
        &self,
        tenant: &TenantId,
        since: Timestamp,
        before: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<AuditedVerdict>> {
        store::newest(&self.0.db, tenant, since, before.unwrap_or(Timestamp(i64::MAX)), limit).await
    }

    /// Deletes a shop's older verdicts; returns how many.
    pub async fn forget_before(&self, tenant: &TenantId, before: Timestamp) -> Result<u64> {
        store::forget_before(&self.0.db, tenant, before).await
    }

    fn words(&self, tenant: &TenantId) -> &Words {
        self.0.of_tenants.get(tenant.as_str()).unwrap_or(&self.0.of_all)
    }

    fn personal(&self, rule: PersonalData) -> Vec<Arc<dyn Rule>> {
        if self.0.config.personal_data { vec![Arc::new(rule)] } else { Vec::new() }
    }
}
