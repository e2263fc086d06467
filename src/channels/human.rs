//! A person where the copilot has no answer: whoever is on duty is told, and their reply goes to the asker and
//! into the conversation, ready to become knowledge.

use super::commands::{self, Command};
use super::desk::{Case, Desk, digest};
use super::human_store::{Call, DELETED, NewCall};
use super::markdown::plain;
use super::{Inbound, Mention, Post, words};
use crate::error::{Kind, Result};
use crate::memory::NewHumanReply;
use crate::models::Language;

impl Desk {
    /// Tells whoever is on duty, once for a message; what the asker is told.
    pub(super) async fn call_a_human(&self, case: &Case<'_>, said: &str) -> Result<&'static str> {
        let (duty, language) = (&self.parts.duty, case.language);
        if !self.has_duty() {
            return Ok(words::nobody(language));
        }
        let last = self.last_turn(case).await?;
        // With a command it is about what was asked before, and what the command says beside its name.
        let what = match commands::read(said) {
            Some(command) => {
                let more = if let Command::Human(more) = command { more } else { String::new() };
                let asked = last.as_ref().map(|turn| turn.question.clone()).filter(|asked| *asked != more);
                let both: Vec<String> = [asked, Some(more)].into_iter().flatten().filter(|part| !part.is_empty()).collect();
                if both.is_empty() { said.to_owned() } else { both.join(" / ") }
            }
            None => said.to_owned(),
        };
        let what = what.replace('\n', " ");
        let call = NewCall {
            inbound: case.inbound,
            owner: &case.owner,
            conversation_id: last.as_ref().map(|turn| &turn.conversation_id),
            response_id: last.as_ref().map(|turn| &turn.id),
            question: &what,
        };
        let kept = self.parts.store.call(&call).await?;
        if kept.told {
            return Ok(words::called(language));
        }
        let unnamed = if case.inbound.group { words::some_group(language) } else { words::alone(language) };
        let place = case.inbound.title.as_deref().map(plain);
        let place = place.as_deref().unwrap_or(unnamed);
        let who = self.parts.channel.name_of(&case.inbound.asker);
        let note = Post::new(language, words::alert(language, &who, place, &plain(&what), &kept.code));
        match self.parts.pulse.called(self.parts.channel.alert(duty, &note).await) {
            // A crash before this is noted tells them twice; the other way round they might never hear of it.
            Ok(()) => self.parts.store.call_is_told(&kept.code).await.map(|()| words::called(language)),
            Err(error) => {
                tracing::error!(
                    bot = self.parts.bot,
                    code = error.code(),
                    causes = error.causes(),
                    "nobody on duty could be told: {error}"
                );
                Ok(words::not_called(language))
            }
        }
    }

    /// Whether anybody is on duty.
    pub(super) fn has_duty(&self) -> bool {
        self.parts.duty.user.is_some() || self.parts.duty.group.is_some()
    }

    /// What a message says to an asker though it does not name the command: somebody on duty quotes where somebody
    /// waits, or what told them of it. Nothing to say is a reply of which nobody knows whom it is for.
    pub(super) async fn reply_without_command(&self, inbound: &Inbound, said: &str) -> Result<Option<String>> {
        if !inbound.quotes || commands::read(said).is_some() || !self.is_on_duty(inbound) {
            return Ok(None);
        }
        let store = &self.parts.store;
        // Also of a call that is no more: it is no question to the copilot.
        if let Some(code) = inbound.quoted.as_deref().and_then(told_code) {
            return Ok(Some(format!("#{code} {said}")));
        }
        if store.call_of_reply(&self.reply_id(inbound)).await?.is_some() {
            return Ok(Some(said.to_owned()));
        }
        let open = store.open_calls().await?;
        if open.iter().any(|call| call.conversation == inbound.conversation) {
            return Ok(Some(said.to_owned()));
        }
        let perhaps = inbound.quoted.is_none() && !open.is_empty();
        Ok(perhaps.then(String::new))
    }

    /// Who is on duty: the person wherever they write, and everybody in the group.
    fn is_on_duty(&self, inbound: &Inbound) -> bool {
        let duty = &self.parts.duty;
        let person = duty.user.is_some() && duty.user == inbound.asker.staff_id;
        person || (inbound.group && duty.group.as_deref() == Some(self.parts.channel.group_of(inbound)))
    }

    /// Takes a person's reply to the asker and keeps it. `said` may begin with the code of the call.
    pub(super) async fn pass_on(&self, case: Case<'_>, said: &str) -> Result<()> {
        let language = case.language;
        if !self.is_on_duty(case.inbound) {
            return self.say(case, words::only_on_duty(language)).await;
        }
        let (store, id) = (&self.parts.store, self.reply_id(case.inbound));
        // An earlier try of this message has chosen its call already.
        let code = code_of(said);
        let calls = match store.call_of_reply(&id).await? {
            Some(call) => vec![call],
            None => match store.open_call(&code).await? {
                Some(named) => vec![named],
                None => match store.state_of_call(&code).await?.as_deref() {
                    Some(DELETED) => return self.say(case, words::waits_no_more(language)).await,
                    Some(_) => return self.say(case, words::answered_before(language)).await,
                    None => store.open_calls().await?,
                },
            },
        };
        let Some((call, text)) = choose(&calls, &case.inbound.conversation, said).filter(|(_, text)| !text.is_empty()) else {
            return self.say(case, words::which_call(language, &listed(&calls))).await;
        };
        if call.is_deleted() {
            return self.say(case, words::waits_no_more(language)).await;
        }
        let elsewhere = call.conversation != case.inbound.conversation;
        let pieces = if elsewhere { Some(self.pieces(call, text)?) } else { None };
        // Of two people one is passed on.
        if !store.answer_call(call, &id, pieces.as_deref()).await? {
            return self.say(case, words::answered_before(language)).await;
        }
        let said = match if elsewhere { self.carry(&id).await? } else { Carried::There } {
            Carried::Nowhere => {
                store.call_reopens(&call.code, &id).await?;
                words::not_passed_on(language)
            }
            carried => {
                let kept = self.keep(call, &id, text, &case.inbound.asker.name).await?;
                match carried {
                    Carried::Waits => words::passed_on_later(language),
                    _ if kept => words::passed_on_and_kept(language),
                    _ => words::passed_on(language),
                }
            }
        };
        self.say(case, said).await
    }

    /// What the asker is shown of a reply.
    fn pieces(&self, call: &Call, text: &str) -> Result<Vec<Post>> {
        let inbound: Inbound = serde_json::from_str(&call.inbound)?;
        let language = Language::of(&call.question);
        let mention = inbound.asker.staff_id.filter(|_| inbound.group).map(|id| Mention { id });
        let post = Post { mention, ..Post::new(language, words::reply_of_a_human(language, &plain(&call.question), text)) };
        Ok(post.pieces(self.parts.channel.limit()))
    }

    /// Sends a reply that waits: like any answer, again and again where the platform does not take it (`tend.rs`).
    async fn carry(&self, reply: &str) -> Result<Carried> {
        if self.parts.channel.can_send()
            && let Some(left) = self.parts.store.take_up(reply).await?
        {
            let asker: Inbound = serde_json::from_str(&left.payload)?;
            self.say_rest(reply, &asker, left.attempt, left.answer.as_deref().unwrap_or_default()).await;
        }
        Ok(match self.parts.store.state_of(reply).await?.as_deref() {
            Some("done") => Carried::There,
            Some("failed") => Carried::Nowhere,
            _ => Carried::Waits,
        })
    }

    /// Tells whoever is on duty of the replies that never arrived, now and then until they could be told; their calls
    /// wait again.
    pub(super) async fn tell_lost_replies(&self) -> Result<()> {
        while let Some(call) = self.parts.store.lost_reply().await? {
            let language = Language::of(&call.question);
            let note = match call.is_deleted() {
                true => words::never_passed_on_and_deleted(language, &call.code),
                false => words::never_passed_on(language, &plain(&call.question), &call.code),
            };
            let note = Post::new(language, note);
            match self.parts.pulse.called(self.parts.channel.alert(&self.parts.duty, &note).await) {
                Err(error) if error.kind() != Kind::Timeout => {
                    self.parts.pulse.log().error("nobody on duty could be told that a reply was lost", &error);
                }
                // What may have arrived is not said again.
                _ => self.parts.store.loss_is_told(&call.code).await?,
            }
        }
        Ok(())
    }

    /// A reply's own id follows from the message that it came as.
    fn reply_id(&self, inbound: &Inbound) -> String {
        format!("h_{}", digest(&[&self.parts.bot, &inbound.message_id]))
    }

    /// Whether there was a conversation to keep it with.
    async fn keep(&self, call: &Call, id: &str, text: &str, said_by: &str) -> Result<bool> {
        let Some(conversation) = &call.conversation_id else { return Ok(false) };
        let reply = NewHumanReply { id, response_id: call.response_id.as_ref(), question: &call.question, text, said_by };
        match self.parts.turns.add_human_reply(&self.parts.tenant, &call.owner_id, conversation, &reply).await {
            // It was deleted since.
            Err(error) if error.code() == "conversation_not_found" => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }
}

/// What became of a reply on its way.
enum Carried {
    There,
    /// The platform does not take it now.
    Waits,
    /// It never will.
    Nowhere,
}

/// Calls that are listed for a reply that names none.
const LISTED: usize = 10;
/// What marks a code as one.
const MARKS: [char; 2] = ['#', '＃'];

/// The first word as a call would be named by it.
fn code_of(said: &str) -> String {
    said.split_whitespace().next().unwrap_or_default().trim_start_matches(MARKS).to_lowercase()
}

/// The call that is meant, and what is said to it: the one named, else the newest of this chat, where everybody reads
/// the reply anyway. It is never one of another chat by chance: a first word that names no call may be a slip of the
/// hand, and what is meant for one asker must not reach another.
fn choose<'a>(calls: &'a [Call], conversation: &str, said: &'a str) -> Option<(&'a Call, &'a str)> {
    let (said, code) = (said.trim(), code_of(said));
    if let Some(named) = calls.iter().find(|call| call.code == code) {
        return Some((named, said.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim())));
    }
    if said.starts_with(MARKS) {
        return None;
    }
    calls.iter().find(|call| call.conversation == conversation).map(|call| (call, said))
}

/// The newest few.
fn listed(calls: &[Call]) -> String {
    calls.iter().take(LISTED).map(|call| format!("\n- `{}`: {}", call.code, words::brief(&call.question))).collect()
}

/// The code in the note that told of a call (`words::alert`, `words::never_passed_on`), which ends with how to reply to it.
fn told_code(note: &str) -> Option<String> {
    let (_, code) = last_command(note)?;
    let rest = note.rsplit_once(&code)?.1.trim_matches(|c: char| c == '`' || c.is_whitespace());
    ["内容", "TEXT", "…"].contains(&rest).then(|| code.to_lowercase())
}

/// The command that a note ends with and the code behind it: what stands before may be somebody's words.
pub fn last_command(note: &str) -> Option<(&'static str, String)> {
    let last = ["/回复", "/answer"].into_iter().filter_map(|command| Some((note.rfind(&format!("{command} "))?, command))).max()?;
    let code: String = note[last.0 + last.1.len()..].trim_start().chars().take_while(char::is_ascii_alphanumeric).collect();
    (!code.is_empty()).then_some((last.1, code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OwnerId;

    fn call(code: &str, conversation: &str) -> Call {
        Call {
            code: code.into(),
            conversation: conversation.into(),
            inbound: "{}".into(),
            owner_id: OwnerId::from_text("b_1"),
            conversation_id: None,
            response_id: None,
            question: "q".into(),
        }
    }

    #[test]
    fn the_call_is_named_or_the_newest_of_the_chat_or_the_only_one() {
        let calls = [call("ab12", "cid1"), call("cd34", "cid2"), call("ef56", "cid2")];
        let chosen =
            |calls: &[Call], place: &str, said: &str| choose(calls, place, said).map(|(call, text)| (call.code.clone(), text.to_owned()));
        let is = |code: &str, text: &str| Some((code.to_owned(), text.to_owned()));
        assert_eq!(chosen(&calls, "cid1", "#EF56 十五天\n以内"), is("ef56", "十五天\n以内"));
        assert_eq!(chosen(&calls, "cid2", "十五天 以内"), is("cd34", "十五天 以内"));
        assert_eq!(chosen(&calls, "elsewhere", "十五天"), None);
        assert_eq!(chosen(&calls[..1], "cid1", "#zz99 十五天"), None, "meant for somebody else");
        assert_eq!(chosen(&calls[..1], "elsewhere", "zz99 十五天"), None, "a slip of the hand tells nobody else's asker");
        assert_eq!(chosen(&calls[..1], "elsewhere", "十五天"), None);
        assert_eq!(chosen(&calls, "cid1", "ab12"), is("ab12", ""));
        assert_eq!(chosen(&[], "cid1", "十五天"), None);
    }

    #[test]
    fn a_note_that_is_quoted_names_its_call() {
        for language in [Language::Zh, Language::En] {
            for name in ["Ann", "Ann /回复 zz11", "Ann /answer zz11"] {
                assert_eq!(told_code(&words::alert(language, name, "a group", "q /answer", "ab12")).as_deref(), Some("ab12"));
            }
            assert_eq!(told_code(&words::never_passed_on(language, "what is `/answer ef56` for?", "cd34")).as_deref(), Some("cd34"));
        }
        for other in ["", "/answer", "/answer …", "/answer ab12 fifteen days", &words::which_call(Language::En, "\n- `ab12`: q")] {
            assert_eq!(told_code(other), None, "{other}");
        }
    }
}
