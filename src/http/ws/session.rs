//! One conversation partner on a WebSocket: greets, takes frames, forwards the events of the turns it
//! asked for. Everything happens in one task, so an event can never overtake the acceptance of its
//! message; a turn itself goes on whether or not anybody listens.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::stream::SplitStream;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, interval_at, timeout, timeout_at};
use tokio_stream::StreamMap;
use tokio_tungstenite::tungstenite;

use super::Visit;
use super::frames::{self, ClientFrame, EventFrame, Limits, Pong, ResponseCancel, ResponseRegenerate, Resume, SessionOpen, SessionReady};
use super::writer::{Close, Gone, Outbox};
use crate::chat::engine::Accepted;
use crate::chat::resume::{Batches, TOO_SLOW, too_slow};
use crate::chat::{ChatEvent, EventKind};
use crate::error::{Error, Kind, Result};
use crate::http::chat::error_frame;
use crate::http::message::{MessageCreate, check_choice};
use crate::http::state::Shared;
use crate::ids::{ConversationId, TurnId, random_token};
use crate::tenants::{Admission, Caller, Credentials, Role};

/// How long a client may wait with `session.open`.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// How often the server pings.
const BEAT: Duration = Duration::from_secs(15);
/// A line that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// So many messages in a row over the rate limit end the patience.
const OFFENCES: u32 = 20;
/// How long a closing socket is still read, so that the goodbye is not lost in a reset.
const LINGER: Duration = Duration::from_secs(2);

/// A socket after `session.open`.
pub struct Session {
    state: Shared,
    visit: Visit,
    caller: Caller,
    outbox: Outbox,
    /// One reader per conversation with an answer under way; it ends when there is none.
    following: StreamMap<ConversationId, Batches>,
    /// What was asked here and is not answered yet.
    asked: HashMap<TurnId, Asked>,
    offences: u32,
}

/// A message of this socket whose answer is under way.
struct Asked {
    /// The frame that asked, until its acceptance was sent.
    reference: Option<String>,
}

/// Why the conversation is over.
enum End {
    /// We say goodbye.
    Close(Close),
    /// The other side is gone.
    Gone,
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

type Flow<T = ()> = std::result::Result<T, End>;

impl Session {
    /// Talks until either side goes.
    pub async fn run(state: Shared, visit: Visit, mut socket: SplitStream<WebSocket>, outbox: Outbox) {
        let Err(end) = Self::talk(state, visit, &mut socket, outbox.clone()).await;
        if let End::Close(close) = end {
            outbox.close(close).await;
        }
        // Reading on also sends the answer to the other side's goodbye.
        let _ = timeout(LINGER, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }

    async fn talk(state: Shared, visit: Visit, socket: &mut SplitStream<WebSocket>, outbox: Outbox) -> Flow<std::convert::Infallible> {
        let limit = state.app.config.limits.frame_bytes;
        let deadline = Instant::now() + OPEN_WITHIN;
        let closing = state.closing.clone();
        let first = tokio::select! {
            first = timeout_at(deadline, first_frame(socket, limit)) => first.map_err(|_| End::Close(Close::TIMEOUT))??,
            () = closing.cancelled() => return Err(End::Close(Close::AWAY)),
        };
        // On the heap while they run: what a socket needs for a moment is not kept for as long as it is idle.
        let mut session = Box::pin(Self::open(state, visit, outbox, first)).await?;
        let mut seen = Instant::now();
        let mut beat = interval_at(seen + BEAT, BEAT);
        loop {
            tokio::select! {
                frame = next_frame(socket, limit) => {
                    seen = Instant::now();
                    Box::pin(session.take(frame?)).await?;
                }
                Some((_, batch)) = session.following.next() => session.forward(batch).await?,
                now = beat.tick() => {
                    if now.duration_since(seen) > SILENCE {
                        return Err(End::Close(Close::TIMEOUT));
                    }
                    session.outbox.ping();
                }
                () = closing.cancelled() => return Err(session.leave().await),
                () = session.outbox.gone() => return Err(End::Gone),
            }
        }
    }

    /// Checks the first frame and greets.
    async fn open(state: Shared, visit: Visit, outbox: Outbox, first: Incoming) -> Flow<Self> {
        let (id, open) = match first.read() {
            Some((id, Ok(ClientFrame::SessionOpen(open)))) => (id, open),
            Some((id, Ok(_))) => return refuse(&outbox, id, expected_open(), Close::PROTOCOL).await,
            Some((id, Err(error))) => return refuse(&outbox, id, error, Close::PROTOCOL).await,
            None => return refuse(&outbox, None, expected_open(), Close::PROTOCOL).await,
        };
        let Admission { caller, visitor_token } = match admit(&state, &visit, &open).await {
            Ok(admission) => admission,
            Err(error) => {
                let close = match error.kind() {
                    Kind::Forbidden => Close::ORIGIN,
                    Kind::RateLimited => Close::RATE,
                    _ => Close::UNAUTHENTICATED,
                };
                return refuse(&outbox, id, error, close).await;
            }
        };
        outbox.send(&greeting(&state, &caller, visitor_token, id.clone())).await?;
        let mut session = Self { state, visit, caller, outbox, following: StreamMap::new(), asked: HashMap::new(), offences: 0 };
        if let Some(resume) = open.resume {
            session.resume(resume, id).await?;
        }
        Ok(session)
    }

    /// Tells what a client has not seen of a conversation, and what is still to come in it.
    async fn resume(&mut self, resume: Resume, reference: Option<String>) -> Flow {
        match self.state.app.engine.resume(&self.caller, &resume.conversation_id, resume.last_seq).await {
            Ok(events) => {
                self.following.insert(resume.conversation_id, events);
                Ok(())
            }
            Err(error) => self.object(&error, reference.as_deref()).await,
        }
    }

    /// Does what a frame says, or answers why not.
    async fn take(&mut self, incoming: Incoming) -> Flow {
        let Some((id, frame)) = incoming.read() else { return Ok(()) };
        let outcome = match frame {
            Ok(ClientFrame::Ping) => return Ok(self.outbox.send(&Pong { reference: id.as_deref() }).await?),
            Ok(ClientFrame::MessageCreate(message)) => match self.ask(message).await {
                Ok(accepted) => return self.follow(accepted, id).await,
                Err(error) => Err(error),
            },
            Ok(ClientFrame::ResponseCancel(ResponseCancel { response_id })) => self.state.app.engine.cancel(&self.caller, &response_id),
            Ok(ClientFrame::SessionOpen(_)) => {
                Err(Error::conflict("session_already_open", "This socket has its session; open another socket for another."))
            }
            Ok(ClientFrame::ResponseRegenerate(again)) => match self.ask_again(again).await {
                Ok(accepted) => return self.follow(accepted, id).await,
                Err(error) => Err(error),
            },
            Ok(ClientFrame::FeedbackCreate(said)) => said.keep(&self.state.app.engine, &self.caller).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.object(&error, id.as_deref()).await,
        }
    }

    async fn ask(&mut self, message: MessageCreate) -> Result<Accepted> {
        self.state.app.limits.check(&self.caller.key, self.visit.address)?;
        self.offences = 0;
        check_choice(&self.state.app.config, &self.caller, message.model.as_deref())?;
        self.state.app.engine.answer(&self.caller, message.into_request("ws")).await
    }

    async fn ask_again(&mut self, again: ResponseRegenerate) -> Result<Accepted> {
        self.state.app.limits.check(&self.caller.key, self.visit.address)?;
        self.offences = 0;
        check_choice(&self.state.app.config, &self.caller, again.model.as_deref())?;
        let model = again.model.filter(|model| !model.is_empty());
        self.state.app.engine.regenerate(&self.caller, &again.response_id, model, "ws").await
    }

    /// Follows an accepted message's conversation, once however many messages it gets.
    async fn follow(&mut self, accepted: Accepted, reference: Option<String>) -> Flow {
        let Accepted { conversation_id, response_id, duplicate, mut events } = accepted;
        let followed = self.following.contains_key(&conversation_id);
        let asked_before = self.asked.contains_key(&response_id);
        self.asked.insert(response_id.clone(), Asked { reference });
        if followed && !duplicate {
            return Ok(());
        }
        let Ok(mut batch) = events.next().await else { return Err(End::Close(Close::TOO_SLOW)) };
        if followed && asked_before {
            // What follows is on its way already: only the acceptance is said once more.
            batch.retain(|event| {
                matches!(event.kind, EventKind::MessageAccepted { .. }) && event.response_id.as_ref() == Some(&response_id)
            });
        }
        self.send(batch).await?;
        // A repeated message whose answer is stored has been answered whole by now.
        if !followed && self.asked.contains_key(&response_id) {
            self.following.insert(conversation_id, events.until_idle().map(|batch| batch.map_err(too_slow)).boxed());
        }
        Ok(())
    }

    /// Sends events on.
    async fn forward(&mut self, batch: Result<Vec<ChatEvent>>) -> Flow {
        match batch {
            Ok(batch) => self.send(batch).await,
            Err(error) if error.code() == TOO_SLOW => Err(End::Close(Close::TOO_SLOW)),
            Err(error) => self.object(&error, None).await,
        }
    }

    async fn send(&mut self, batch: Vec<ChatEvent>) -> Flow {
        for event in batch {
            let asked = event.response_id.as_ref().and_then(|id| self.asked.get_mut(id));
            let accepts = matches!(event.kind, EventKind::MessageAccepted { .. });
            let reference = asked.filter(|_| accepts).and_then(|asked| asked.reference.take());
            self.outbox.send(&EventFrame { reference: reference.as_deref(), event: &event }).await?;
            if let (EventKind::ResponseDone(_), Some(id)) = (&event.kind, &event.response_id) {
                self.asked.remove(id);
            }
        }
        Ok(())
    }

    async fn object(&mut self, error: &Error, reference: Option<&str>) -> Flow {
        self.outbox.send(&error_frame(error, reference)).await?;
        self.offences += u32::from(error.kind() == Kind::RateLimited);
        if self.offences > OFFENCES { Err(End::Close(Close::RATE)) } else { Ok(()) }
    }

    /// The server stops: the turns have ended, and what they said last still goes out.
    async fn leave(&mut self) -> End {
        while let Some(Some((_, batch))) = self.following.next().now_or_never() {
            if let Err(end) = self.forward(batch).await {
                return end;
            }
        }
        End::Close(Close::AWAY)
    }
}

/// A message from the socket, not yet looked into.
enum Incoming {
    Text(String),
    Binary,
    /// Pings and pongs: a sign of life.
    Control,
}

impl Incoming {
    fn read(self) -> Option<(Option<String>, Result<ClientFrame>)> {
        match self {
            Self::Text(text) => Some(frames::parse(&text)),
            Self::Binary => Some((None, Err(Error::invalid("binary_not_supported", "copilot.v1 uses text frames only.")))),
            Self::Control => None,
        }
    }
}

/// The first frame that says something.
async fn first_frame(socket: &mut SplitStream<WebSocket>, limit: usize) -> Flow<Incoming> {
    loop {
        match next_frame(socket, limit).await? {
            Incoming::Control => {}
            said => return Ok(said),
        }
    }
}

async fn next_frame(socket: &mut SplitStream<WebSocket>, limit: usize) -> Flow<Incoming> {
    match socket.next().await {
        Some(Ok(Message::Text(text))) if text.len() > limit => Err(End::Close(Close::TOO_LARGE)),
        Some(Ok(Message::Binary(bytes))) if bytes.len() > limit => Err(End::Close(Close::TOO_LARGE)),
        Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text.as_str().to_owned())),
        Some(Ok(Message::Binary(_))) => Ok(Incoming::Binary),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Incoming::Control),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        Some(Err(error)) => Err(broken(error)),
    }
}

fn broken(error: axum::Error) -> End {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::Close(Close::TOO_LARGE),
        Some(tungstenite::Error::Utf8(_)) => End::Close(Close::NOT_TEXT),
        _ => End::Gone,
    }
}

async fn refuse<T>(outbox: &Outbox, reference: Option<String>, error: Error, close: Close) -> Flow<T> {
    outbox.send(&error_frame(&error, reference.as_deref())).await?;
    Err(End::Close(close))
}

/// The token in the frame decides; without one, what was shown with the upgrade.
async fn admit(state: &Shared, visit: &Visit, open: &SessionOpen) -> Result<Admission> {
    match (&open.token, &visit.admission) {
        (Some(token), _) => {
            let (visitor, identity) = (open.visitor_token.as_deref(), open.identity.as_deref());
            let shown = Credentials { key: token, origin: visit.origin.as_deref(), visitor, identity };
            state.app.tenants.verify(shown).await.map_err(|error| state.app.limits.refused(visit.address, error))
        }
        (None, Some(admission)) => Ok(admission.clone()),
        (None, None) => Err(Error::unauthenticated("missing_key", "`session.open` needs a `token`: a site, member or admin key.")),
    }
}

fn greeting(state: &Shared, caller: &Caller, visitor_token: Option<String>, reference: Option<String>) -> SessionReady {
    let config = &state.app.config;
    let tenant = caller.tenant.as_str();
    let choice = caller.role != Role::Site || config.answers.visitors_choose_model(tenant);
    SessionReady {
        reference,
        session_id: random_token("s_", 20),
        tenant: caller.tenant.to_string(),
        visitor_token,
        models: state.app.models.cards().into_iter().filter(|_| choice).map(Into::into).collect(),
        ai_mark: config.answers.ai_mark(tenant).clone(),
        link_hosts: config.safety.linked(),
        limits: Limits {
            message_chars: config.chat.message_chars,
            frame_bytes: config.limits.frame_bytes,
            per_minute: config.limits.key_per_minute.min(config.limits.address_per_minute),
        },
        server_time: state.app.clock.now().rfc3339(),
    }
}

fn expected_open() -> Error {
    Error::invalid("session_expected", "The first frame must be `session.open`.")
}
