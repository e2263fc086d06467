//! A turn's events in OpenAI's words (pure): chunks for a stream, or one completion.

use serde_json::{Value, json};

use crate::chat::{ChatEvent, Citation, Done, ErrorReport, EventKind, Source, Status};

/// What is told of one answer while its events come in.
#[derive(Debug)]
pub struct Answer {
    /// `chatcmpl-…`
    id: String,
    created: i64,
    model: String,
    /// What links to our own sources begin with.
    sources_base: String,
    sources: Vec<Source>,
    reasoning: String,
    text: String,
    /// Whether the role was told; not before it is certain which model answers.
    begun: bool,
}

/// How an answer ended for an OpenAI client.
#[derive(Debug)]
pub enum Ending {
    /// With a finish reason.
    Finished(Value),
    /// With an error.
    Failed(ErrorReport),
}

impl Answer {
    /// An answer of which nothing came yet.
    pub fn new(response_id: &str, created: i64, model: &str, base: &str) -> Self {
        Self {
            id: format!("chatcmpl-{response_id}"),
            created,
            model: model.to_owned(),
            sources_base: format!("{base}/api/v1/responses/{response_id}/sources"),
            sources: Vec::new(),
            reasoning: String::new(),
            text: String::new(),
            begun: false,
        }
    }

    /// The chunks an event is worth; the role comes first and the usage last, when it is wanted.
    pub fn chunks(&mut self, event: ChatEvent, usage: bool) -> Vec<Value> {
        match event.kind {
            EventKind::ResponseReasoningDelta { delta } => self.and_role(vec![self.delta(&json!({"reasoning_content": delta}))]),
            EventKind::ResponseTextDelta { delta, .. } => self.and_role(vec![self.delta(&json!({"content": delta}))]),
            EventKind::ResponseDone(done) => match self.last_chunks(&done, usage) {
                error if failure(&done).is_some() => error,
                chunks => self.and_role(chunks),
            },
            other => {
                self.note(other);
                Vec::new()
            }
        }
    }

    /// The error of an answer that ends before anything of it was told.
    pub fn failed_before<'a>(&self, event: &'a ChatEvent) -> Option<&'a ErrorReport> {
        match &event.kind {
            EventKind::ResponseDone(done) if !self.begun => cut(done),
            _ => None,
        }
    }

    /// The role before the first chunk of the answer.
    fn and_role(&mut self, mut chunks: Vec<Value>) -> Vec<Value> {
        if !std::mem::replace(&mut self.begun, true) {
            chunks.insert(0, self.delta(&json!({"role": "assistant", "content": ""})));
        }
        chunks
    }

    /// What concerns the whole answer.
    fn note(&mut self, kind: EventKind) {
        match kind {
            EventKind::ResponseCreated { model, .. } | EventKind::ResponseStatus { model: Some(model), .. } => self.model = model,
            EventKind::ResponseSources { sources, .. } => self.sources = sources,
            _ => {}
        }
    }

    /// Takes an event of an answer that is sent whole; the last one brings the completion.
    pub fn collect(&mut self, event: ChatEvent) -> Option<Ending> {
        match event.kind {
            EventKind::ResponseReasoningDelta { delta } => self.reasoning.push_str(&delta),
            EventKind::ResponseTextDone { text } => self.text = text,
            EventKind::ResponseDone(done) => return Some(self.completion(&done)),
            other => self.note(other),
        }
        None
    }

    fn last_chunks(&self, done: &Done, usage: bool) -> Vec<Value> {
        if let Some(error) = cut(done) {
            return vec![json!({"error": {"message": error.message, "type": "server_error", "param": null, "code": error.code}})];
        }
        let mut chunks = Vec::new();
        if !done.citations.is_empty() {
            chunks.push(self.delta(&json!({"annotations": self.annotations(&done.citations)})));
        }
        let mut finish = self.chunk(json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish_reason(done)}]));
        finish["citations"] = self.links();
        chunks.push(finish);
        if usage {
            let mut chunk = self.chunk(json!([]));
            chunk["usage"] = usage_of(done);
            chunks.push(chunk);
        }
        chunks
    }

    fn completion(&self, done: &Done) -> Ending {
        if let Some(error) = failure(done) {
            return Ending::Failed(error.clone());
        }
        let mut message =
            json!({"role": "assistant", "content": self.text, "refusal": null, "annotations": self.annotations(&done.citations)});
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = json!(self.reasoning);
        }
        Ending::Finished(json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(done)}],
            "usage": usage_of(done),
            "citations": self.links(),
        }))
    }

    fn delta(&self, delta: &Value) -> Value {
        self.chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]))
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices})
    }

    fn annotations(&self, citations: &[Citation]) -> Value {
        let source = |n| self.sources.iter().find(|source| source.n == n);
        let annotation = |citation: &Citation| {
            let source = source(citation.n)?;
            let place = json!({"start_index": citation.start, "end_index": citation.end, "title": source.title, "url": self.link(source)});
            Some(json!({"type": "url_citation", "url_citation": place}))
        };
        citations.iter().filter_map(annotation).collect()
    }

    /// One link per source, so that `[n]` is the n-th.
    fn links(&self) -> Value {
        self.sources.iter().map(|source| json!(self.link(source))).collect()
    }

    fn link(&self, source: &Source) -> String {
        source.url.clone().unwrap_or_else(|| format!("{}/{}", self.sources_base, source.n))
    }
}

/// What a client has to be told as an error; a cancelled answer is just short, and one that a stop of the server broke off
/// is worth another try of the whole.
fn failure(done: &Done) -> Option<&ErrorReport> {
    let told = done.status == Status::Failed || done.finish_reason == "interrupted";
    done.error.as_ref().filter(|_| told)
}

/// What a reader of a stream has to be told after the text that came: without it, half an answer looks whole.
fn cut(done: &Done) -> Option<&ErrorReport> {
    done.error.as_ref().filter(|_| matches!(done.status, Status::Failed | Status::Incomplete))
}

fn finish_reason(done: &Done) -> &'static str {
    match done.finish_reason.as_str() {
        "content_filter" => "content_filter",
        // Told whole, a text that broke off is one that is too short.
        "length" => "length",
        _ if done.status == Status::Incomplete => "length",
        _ => "stop",
    }
}

fn usage_of(done: &Done) -> Value {
    let (sent, received) = (done.usage.prompt_tokens, done.usage.completion_tokens);
    json!({"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Decision, Timings, UsageReport};
    use crate::ids::{ConversationId, TurnId};

    fn event(kind: EventKind) -> ChatEvent {
        ChatEvent { conversation_id: ConversationId::from_text("c"), response_id: Some(TurnId::from_text("r_1")), seq: 1, kind }
    }

    fn source(n: u32, url: Option<&str>) -> Source {
        Source { n, entry_id: "e".into(), title: "保证金退还".into(), snippet: String::new(), url: url.map(str::to_owned), score: 1.0 }
    }

    fn done(status: Status, finish_reason: &str, error: Option<ErrorReport>) -> EventKind {
        EventKind::ResponseDone(Box::new(Done {
            status,
            finish_reason: finish_reason.into(),
            usage: UsageReport { prompt_tokens: 3, completion_tokens: 4, ..UsageReport::default() },
            citations: vec![Citation { n: 2, start: 5, end: 8 }],
            suggestions: vec![],
            timings_ms: Timings::default(),
            error,
        }))
    }

    fn told() -> Vec<EventKind> {
        vec![
            EventKind::MessageAccepted { message_id: "m".into(), duplicate: false },
            EventKind::ResponseCreated { message_id: "m".into(), model: "extractive".into(), replaces: None },
            EventKind::ResponseSources {
                decision: Decision::Grounded,
                sources: vec![source(1, Some("https://a")), source(2, None)],
                courtesy: false,
                unsourced: false,
            },
            EventKind::ResponseReasoningDelta { delta: "想".into() },
            EventKind::ResponseTextDelta { delta: "15 天内[2]".into(), offset: 0 },
            EventKind::ResponseTextDone { text: "15 天内[2]".into() },
            done(Status::Completed, "stop", None),
        ]
    }

    #[test]
    fn a_stream_begins_with_the_role_and_ends_with_the_usage() {
        let mut answer = Answer::new("r_1", 7, "", "http://here");
        let chunks: Vec<Value> = told().into_iter().flat_map(|kind| answer.chunks(event(kind), true)).collect();
        let deltas: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta")).collect();
        assert_eq!(deltas[0], &json!({"role": "assistant", "content": ""}));
        assert_eq!(deltas[1], &json!({"reasoning_content": "想"}));
        assert_eq!(deltas[2], &json!({"content": "15 天内[2]"}));
        let place = json!({"start_index": 5, "end_index": 8, "title": "保证金退还", "url": "http://here/api/v1/responses/r_1/sources/2"});
        assert_eq!(deltas[3], &json!({"annotations": [{"type": "url_citation", "url_citation": place}]}));
        assert_eq!((deltas[4], &chunks[4]["choices"][0]["finish_reason"]), (&json!({}), &json!("stop")));
        assert_eq!(chunks[4]["citations"], json!(["https://a", "http://here/api/v1/responses/r_1/sources/2"]));
        assert_eq!((&chunks[5]["choices"], &chunks[5]["usage"]["total_tokens"]), (&json!([]), &json!(7)));
        assert!(chunks.iter().all(|chunk| chunk["id"] == "chatcmpl-r_1" && chunk["model"] == "extractive" && chunk["created"] == 7));
    }

    #[test]
    fn a_whole_answer_carries_the_same() {
        let mut answer = Answer::new("r_1", 7, "", "http://here");
        let ending = told().into_iter().find_map(|kind| answer.collect(event(kind))).unwrap();
        let Ending::Finished(completion) = ending else { panic!("{ending:?}") };
        assert_eq!(completion["choices"][0]["message"]["content"], "15 天内[2]");
        assert_eq!(completion["choices"][0]["message"]["reasoning_content"], "想");
        assert_eq!(completion["choices"][0]["message"]["annotations"][0]["type"], "url_citation");
        assert_eq!(completion["object"], "chat.completion");
    }

    #[test]
    fn the_model_is_the_one_that_really_answers() {
        let mut answer = Answer::new("r_1", 7, "", "http://here");
        let mut told = told();
        told.insert(3, EventKind::ResponseStatus { stage: crate::chat::Stage::Generating, detail: None, model: Some("other".into()) });
        let chunks: Vec<Value> = told.into_iter().flat_map(|kind| answer.chunks(event(kind), true)).collect();
        assert!(chunks.iter().all(|chunk| chunk["model"] == "other"), "{chunks:?}");
    }

    #[test]
    fn a_failed_answer_is_an_error_and_a_cancelled_one_is_short() {
        let report = ErrorReport { code: "model_unavailable".into(), message: "down".into(), retryable: true, retry_after_ms: None };
        let mut answer = Answer::new("r_1", 7, "m", "");
        let chunks = answer.chunks(event(done(Status::Failed, "error", Some(report.clone()))), true);
        assert_eq!((chunks.len(), &chunks[0]["error"]["code"]), (1, &json!("model_unavailable")));
        let failed = event(done(Status::Failed, "error", Some(report.clone())));
        assert_eq!(answer.failed_before(&failed).map(|error| error.code.as_str()), Some("model_unavailable"), "nothing was told");
        let ending = answer.collect(event(done(Status::Failed, "error", Some(report)))).unwrap();
        assert!(matches!(ending, Ending::Failed(error) if error.retryable));
        let broken = ErrorReport { code: "model_stream_broken".into(), message: "cut".into(), retryable: true, retry_after_ms: None };
        answer.chunks(event(EventKind::ResponseTextDelta { delta: "半句".into(), offset: 0 }), true);
        let cut_short = event(done(Status::Incomplete, "error", Some(broken.clone())));
        assert_eq!(answer.failed_before(&cut_short), None, "a status would come too late");
        let chunks = answer.chunks(cut_short, true);
        assert_eq!(chunks.last().unwrap()["error"]["code"], "model_stream_broken", "what broke off does not end like what is whole");
        let ending = answer.collect(event(done(Status::Incomplete, "error", Some(broken)))).unwrap();
        assert!(matches!(ending, Ending::Finished(whole) if whole["choices"][0]["finish_reason"] == "length"));
        let stopped = ErrorReport { code: "shutting_down".into(), message: "stops".into(), retryable: true, retry_after_ms: None };
        let interrupted = || event(done(Status::Incomplete, "interrupted", Some(stopped.clone())));
        let chunks = answer.chunks(interrupted(), true);
        assert_eq!((chunks.len(), &chunks[0]["error"]["code"]), (1, &json!("shutting_down")), "{chunks:?}");
        assert!(matches!(answer.collect(interrupted()), Some(Ending::Failed(error)) if error.code == "shutting_down"));
        let chunks = answer.chunks(event(done(Status::Cancelled, "cancelled", None)), false);
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    }
}
