//! A model speaks: its reasoning is split off, its markers are made uniform, its words are watched, where the
//! markers stand is noted, and which providers were tried goes into the trace.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::json;

use super::{Ending, Turning, status, words};
use crate::chat::cite::CiteScanner;
use crate::chat::{ErrorReport, EventKind, Stage, support};
use crate::error::Result;
use crate::models::reason::{Piece, ReasonSplitter};
use crate::models::{CompletionRequest, Delta, FinishReason, Model, ModelError, Reasoning, Started, Usage};
use crate::safety::HoldBack;

impl Turning {
    /// The model speaks; its reasoning is split off and its markers are resolved on the way.
    pub(super) async fn stream(&mut self, reasoning: Reasoning, request: CompletionRequest, sources: usize) -> Result<Ending> {
        let model = Arc::clone(&self.model);
        let shown = matches!(reasoning, Reasoning::Shown | Reasoning::Native);
        let prompt = request.messages.clone();
        let given: Vec<(u32, String)> =
            request.grounding.iter().map(|source| (source.n, format!("{}\n{}", source.title, source.text))).collect();
        let cancel = self.cancel.clone();
        let thoughts = if shown { self.watch(&request) } else { HoldBack::new(Vec::new(), self.language) };
        let mut answer = Answering::new(sources, shown, [thoughts, self.watch(&request)]);
        let mut usage = None;
        self.owe(&prompt);
        let ending = tokio::select! {
            biased;
            () = cancel.cancelled() => Ending::Cancelled,
            ending = self.listen(&model, request, &mut answer, &mut usage) => ending,
        };
        // Before the end decides what could not be known.
        let sure = answer.split.is_sure();
        answer.end(self, matches!(ending, Ending::Finished(FinishReason::Stop)));
        if let Err(error) = self.engine.0.parts.ledger.pay_in_vain(&self.tenant, &model, &self.attempts, &self.beside).await {
            tracing::error!(turn = %self.turn.id, code = error.code(), causes = error.causes(), "a try in vain was not counted: {error}");
        }
        let heard_out = matches!(ending, Ending::Finished(_));
        let ending = match ending {
            // Thoughts without a word after them are no answer either.
            Ending::Finished(reason) if self.sent.text.is_empty() => self.failed(&match reason {
                FinishReason::Stop => ModelError::Broken("the answer was empty".to_owned()),
                FinishReason::Length => ModelError::Unfinished,
                FinishReason::ContentFilter => ModelError::Refused("its own filter kept the answer back".to_owned()),
            }),
            ending => ending,
        };
        let stray = answer.split.saw_stray();
        if stray && !self.model.may_think() {
            tracing::warn!(
                model = self.model.card().id,
                "reasoning came without its opening tag and was told; its next answers wait for the tag: set `thinks_first` for this model"
            );
        }
        let whole = matches!(ending, Ending::Finished(FinishReason::Stop));
        if whole || !answer.said.is_empty() && sure {
            self.model.heard(stray);
        } else if heard_out && !answer.said.is_empty() {
            // Neither an answer nor thoughts as far as anybody can know: it is not told, and the next one waits as well.
            tracing::warn!(
                model = self.model.card().id,
                "an answer was cut short before it was known whether it was reasoning: set `thinks_first` for this model, or let it say more"
            );
        }
        self.note(answer.words.notes());
        self.note(answer.thoughts.notes());
        let by = self.model.card();
        self.outcome.trace["model"] = json!({"id": by.id, "provider": by.provider});
        self.outcome.trace["attempts"] = json!(self.attempts);
        self.outcome.citations = json!(answer.cite.citations());
        self.outcome.trace["unsupported"] = json!(support::unsupported(&self.sent.text, &self.request.text, &given));
        // A provider that never said a word is not paid for the question, nor one that was never asked.
        let asked = match ending {
            Ending::Broken(_) => heard_out,
            Ending::Cancelled => self.attempts.was_cut_off(),
            _ => true,
        };
        if usage.is_some() || !answer.said.is_empty() || asked {
            self.count(usage, &prompt, &answer.said);
        }
        Ok(ending)
    }

    /// Takes the deltas as they come. Dropping this ends the provider's call.
    async fn listen(
        &mut self,
        model: &Arc<Model>,
        request: CompletionRequest,
        answer: &mut Answering,
        usage: &mut Option<Usage>,
    ) -> Ending {
        let Started { model: by, deltas: mut stream } = match model.stream(request, &self.attempts).await {
            Ok(started) => started,
            Err(error) => return self.failed(&error),
        };
        if by.thinks_first() {
            answer.split = ReasonSplitter::inside();
        } else if by.may_think() {
            answer.split = ReasonSplitter::unsure();
        }
        self.answered_by(by);
        let mut finish = FinishReason::Stop;
        while let Some(delta) = stream.next().await {
            match delta {
                Ok(Delta::Text(text)) => answer.text(self, &text),
                Ok(Delta::Reasoning(text)) => answer.reasoning(self, &text),
                // Some gateways tell zeros when they do not know.
                Ok(Delta::Usage(tokens)) => *usage = Some(tokens).filter(|tokens| tokens.prompt_tokens > 0).or(*usage),
                Ok(Delta::Model(name)) => self.named = Some(name),
                Ok(Delta::Finish(reason)) => finish = reason,
                Err(error) => return self.failed(&error),
            }
        }
        Ending::Finished(finish)
    }

    /// No answer, or half of one: what it was goes to the operator, what to do to who asked.
    fn failed(&self, error: &ModelError) -> Ending {
        let by = self.model.card();
        tracing::warn!(model = by.id, provider = by.provider, code = error.code(), %error, "the model did not answer");
        let (code, message) = (error.code().to_owned(), words::model_failed(error, self.language));
        Ending::Broken(ErrorReport {
            code,
            message,
            retryable: error.retryable(),
            retry_after_ms: ErrorReport::wait_ms(error.retry_after()),
        })
    }

    /// Another model than the chosen one answers: says so, and is the one that is paid and recorded.
    fn answered_by(&mut self, model: Arc<Model>) {
        if model.card().id != self.told_model {
            self.told_model = model.card().id.clone();
            self.emit(status(Stage::Generating, Some(self.told_model.clone())));
        }
        self.outcome.model = Some(model.card().id.clone());
        let mut told = self.so_far.told();
        told.owed = told.owed.take().map(|owed| owed.answered_by(model.card()));
        drop(told);
        self.model = model;
    }
}

/// The answer while a model speaks.
struct Answering {
    split: ReasonSplitter,
    /// Holds reasoning that is shown back until it is known to be harmless.
    thoughts: HoldBack,
    /// The same for the answer itself.
    words: HoldBack,
    /// Takes the markers of no source out, before the words are watched.
    markers: CiteScanner,
    /// Says where the others stand in what is told.
    cite: CiteScanner,
    shown: bool,
    /// Everything the model said, for counting tokens.
    said: String,
}

impl Answering {
    fn new(sources: usize, shown: bool, [thoughts, words]: [HoldBack; 2]) -> Self {
        let most = u32::try_from(sources).unwrap_or_default();
        let (markers, cite) = (CiteScanner::new(most), CiteScanner::behind(most));
        Self { split: ReasonSplitter::new(), thoughts, words, markers, cite, shown, said: String::new() }
    }

    fn text(&mut self, turning: &mut Turning, text: &str) {
        self.said.push_str(text);
        let pieces = self.split.push(text);
        self.pieces(turning, pieces);
    }

    fn reasoning(&mut self, turning: &mut Turning, text: &str) {
        self.said.push_str(text);
        self.split.sure();
        self.show(turning, text);
    }

    /// What is left of an answer that is `whole`, or of one that broke off.
    fn end(&mut self, turning: &mut Turning, whole: bool) {
        let pieces = if whole { self.split.finish() } else { self.split.cut_off() };
        self.pieces(turning, pieces);
        self.shown_out(turning);
        let marked = self.markers.finish();
        let text = self.words.push(&marked) + &self.words.finish();
        let rest = self.cite.push(&text) + &self.cite.finish();
        turning.say(&rest);
    }

    fn pieces(&mut self, turning: &mut Turning, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    self.shown_out(turning);
                    let marked = self.markers.push(&text);
                    let harmless = self.words.push(&marked);
                    let ready = self.cite.push(&harmless);
                    turning.say(&ready);
                }
                Piece::Reasoning(text) => self.show(turning, &text),
            }
        }
    }

    fn show(&mut self, turning: &Turning, text: &str) {
        if self.shown {
            let delta = self.thoughts.push(text);
            Self::think(turning, delta);
        }
    }

    /// No more reasoning for now: what was held back of it goes out before the answer.
    fn shown_out(&mut self, turning: &Turning) {
        let delta = self.thoughts.finish();
        Self::think(turning, delta);
    }

    fn think(turning: &Turning, delta: String) {
        if !delta.is_empty() {
            turning.emit(EventKind::ResponseReasoningDelta { delta });
        }
    }
}
