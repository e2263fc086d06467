//! Whose a talk is, where it goes on, and in which language it is. A chat may have threads: each is a talk of its own,
//! and all that an asker says in one chat has one owner.

use super::Inbound;
use super::desk::{Case, Desk, digest};
use crate::config::BotMemory;
use crate::error::Result;
use crate::ids::{ConversationId, OwnerId};
use crate::memory::Turn;
use crate::models::Language;

impl Desk {
    /// `/human` is the same word in every language: what was asked last tells, or the names.
    pub(super) async fn language_of_command(&self, case: &Case<'_>, said: &str) -> Result<Language> {
        if Language::of(said) == Language::Zh {
            return Ok(Language::Zh);
        }
        let names = || Language::of(&format!("{}{}", case.inbound.title.as_deref().unwrap_or_default(), case.inbound.asker.name));
        let asked = self.parts.store.thread(&case.owner).await?.language;
        Ok([Language::Zh, Language::En].into_iter().find(|one| asked.as_deref() == Some(one.code())).unwrap_or_else(names))
    }

    /// The newest turn of the talk, or else of whatever the asker talked about there last.
    pub(super) async fn last_turn(&self, case: &Case<'_>) -> Result<Option<Turn>> {
        let store = &self.parts.store;
        let here = store.thread(&case.talk).await?.conversation_id;
        let last = if here.is_some() { here } else { store.thread(&case.owner).await?.conversation_id };
        let Some(conversation) = last else { return Ok(None) };
        Ok(self.parts.turns.earlier(&self.parts.tenant, &conversation, i64::MAX, 1).await?.into_iter().next_back())
    }

    /// The talk goes on with this conversation, or begins anew.
    pub(super) async fn go_on_with(&self, case: &Case<'_>, conversation: Option<&ConversationId>) -> Result<()> {
        self.parts.store.continue_with(&case.talk, conversation).await?;
        if case.talk != case.owner {
            self.parts.store.continue_with(&case.owner, conversation).await?;
        }
        Ok(())
    }

    /// Who owns the conversation: the asker in this chat, or the whole group. All threads of a group are theirs.
    pub(super) fn owner(&self, inbound: &Inbound) -> OwnerId {
        self.owner_in(inbound, self.parts.channel.group_of(inbound))
    }

    pub(super) fn owner_in(&self, inbound: &Inbound, place: &str) -> OwnerId {
        let asker = match self.parts.memory {
            BotMemory::Group if inbound.group => "",
            _ => inbound.asker.id.as_str(),
        };
        OwnerId::from_text(format!("b_{}", digest(&[&self.parts.bot, place, asker])))
    }
}
