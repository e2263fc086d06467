//! The built-in model: answers by quoting the sources it is given. No network, no key, nothing made up,
//! and a few milliseconds an answer.

mod compose;
mod units;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};

use super::Usage;
use super::tokens::Family;
use super::{ChatModel, CompletionRequest, Delta, DeltaStream, EmbedKind, Embedder, FinishReason, Language, ModelError};
use compose::Candidate;

/// Characters of one streamed piece where no word ends.
const PIECE: usize = 3;

/// Quotes what the sources say about the question.
pub struct ExtractiveModel {
    embedder: Arc<dyn Embedder>,
}

impl ExtractiveModel {
    /// `embedder` tells which sentences of a long source are close to the question.
    pub fn new(embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder }
    }

    async fn answer(&self, request: &CompletionRequest) -> String {
        let mut candidates = compose::candidates(&request.question, &request.grounding);
        if candidates.is_empty() {
            return nothing_known(request.language).to_owned();
        }
        self.weigh(&request.question, &mut candidates).await;
        compose::answer(&candidates)
    }

    /// Adds closeness in meaning to the candidates' pieces; without it common words decide alone.
    async fn weigh(&self, question: &str, candidates: &mut [Candidate<'_>]) {
        let texts: Vec<String> = candidates.iter().flat_map(Candidate::texts).collect();
        if texts.is_empty() {
            return;
        }
        let asked = self.embedder.embed(vec![question.to_owned()], EmbedKind::Query).await;
        let (Ok(asked), Ok(said)) = (asked, self.embedder.embed(texts, EmbedKind::Passage).await) else {
            tracing::warn!("sentences are chosen by common words only: the embedder failed");
            return;
        };
        let Some(asked) = asked.first() else { return };
        let mut cosines = said.iter().map(|vector| vector.iter().zip(asked).map(|(a, b)| a * b).sum());
        for candidate in candidates {
            candidate.weigh(cosines.by_ref());
        }
    }
}

#[async_trait]
impl ChatModel for ExtractiveModel {
    async fn stream(&self, request: CompletionRequest) -> Result<DeltaStream, ModelError> {
        let answer = self.answer(&request).await;
        // Each piece is a step of its own: whoever reads is heard in between, and sees the answer grow.
        let texts = stream::iter(pieces(&answer)).then(|piece| async {
            tokio::task::yield_now().await;
            Ok(Delta::Text(piece))
        });
        let usage = async move { Ok(Delta::Usage(count(&request, &answer))) };
        let finish = async { Ok(Delta::Finish(FinishReason::Stop)) };
        Ok(texts.chain(stream::once(usage)).chain(stream::once(finish)).boxed())
    }
}

fn count(request: &CompletionRequest, answer: &str) -> Usage {
    let tokens = |text: &str| Family::Rough.count(text) as u64;
    let prompt_tokens = request.messages.iter().map(|message| tokens(&message.content)).sum();
    Usage { prompt_tokens, completion_tokens: tokens(answer), cached_tokens: 0 }
}

fn nothing_known(language: Language) -> &'static str {
    match language {
        Language::Zh => "知识库里没有找到能回答这个问题的内容。可以换一种说法再问，或补充更多细节。",
        Language::En => "The knowledge base has no answer to this question. Try asking in other words, or add more detail.",
    }
}

/// Cuts an answer the way it is streamed: after each word, or after a few characters without spaces.
fn pieces(answer: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut wide = 0;
    for c in answer.chars() {
        piece.push(c);
        wide += usize::from(!c.is_ascii());
        if c.is_whitespace() || wide == PIECE {
            pieces.push(std::mem::take(&mut piece));
            wide = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::{Grounding, Message, Role, embed};
    use super::*;
    use crate::config::EmbedderConfig;

    fn model() -> ExtractiveModel {
        let config = EmbedderConfig::builtin();
        ExtractiveModel::new(embed::open(&config).unwrap())
    }

    async fn ask(request: CompletionRequest) -> Vec<Delta> {
        model().stream(request).await.unwrap().map(Result::unwrap).collect().await
    }

    fn joined(deltas: &[Delta]) -> String {
        deltas.iter().filter_map(|delta| if let Delta::Text(text) = delta { Some(text.as_str()) } else { None }).collect()
    }

    #[tokio::test]
    async fn it_streams_pieces_then_usage_then_the_finish() {
        let request = CompletionRequest {
            messages: vec![Message { role: Role::User, content: "保证金多少？".into() }],
            grounding: vec![Grounding { n: 1, title: "保证金".into(), text: "保证金为 1000 元。".into(), score: 0.9 }],
            question: "保证金多少？".into(),
            ..CompletionRequest::default()
        };
        let deltas = ask(request).await;
        assert_eq!(joined(&deltas), "保证金为 1000 元。[1]");
        assert!(deltas.len() >= 5, "{deltas:?}");
        let [.., Delta::Usage(usage), Delta::Finish(FinishReason::Stop)] = &deltas[..] else { panic!("{deltas:?}") };
        assert_eq!(usage.completion_tokens, Family::Rough.count("保证金为 1000 元。[1]") as u64);
        assert!(usage.prompt_tokens > 0);
    }

    #[tokio::test]
    async fn without_sources_it_says_so_in_the_right_language() {
        let request = CompletionRequest { question: "你好".into(), ..CompletionRequest::default() };
        assert!(joined(&ask(request.clone()).await).contains("没有找到"));
        let request = CompletionRequest { language: Language::En, ..request };
        assert!(joined(&ask(request).await).contains("no answer"));
    }

    #[tokio::test]
    async fn meaning_finds_a_sentence_that_shares_no_word() {
        let filler = "平台每年更新一次规则说明文档，请各位留意站内信的通知内容。".repeat(8);
        let text = format!("{filler}钱款一般在三个工作日内原路返回买家账户。{filler}");
        let source = Grounding { n: 2, title: "售后".into(), text, score: 0.8 };
        let request = CompletionRequest { grounding: vec![source], question: "退款几天到账".into(), ..CompletionRequest::default() };
        let said = joined(&ask(request).await);
        assert!(said.contains("三个工作日") && said.ends_with("。[2]"), "{said}");
    }

    #[test]
    fn pieces_are_small_and_lose_nothing() {
        let answer = "保证金为 1000 元。[1] See the second rule.";
        assert_eq!(pieces(answer).concat(), answer);
        assert!(pieces(answer).iter().all(|piece| piece.chars().count() <= 9));
    }
}
