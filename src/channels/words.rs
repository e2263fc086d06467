//! The few sentences a bot says itself, in the language of whoever asked.

use crate::models::Language;
use Language::{En, Zh};

/// Above the list of sources.
pub fn sources(language: Language) -> &'static str {
    match language {
        Zh => "出处",
        En => "Sources",
    }
}

/// Above the nearest questions.
pub fn nearest(language: Language) -> &'static str {
    match language {
        Zh => "相近的问题",
        En => "Nearest questions",
    }
}

/// A message's title, which the list of conversations shows.
pub fn title(language: Language) -> &'static str {
    match language {
        Zh => "商家助手",
        En => "Merchant copilot",
    }
}

/// In a card whose answer had to go out as a message.
pub fn see_below() -> &'static str {
    "答案见后面的消息。\n\nThe answer is in the message that follows."
}

/// On the buttons of a card.
pub fn helpful(language: Language) -> &'static str {
    match language {
        Zh => "👍 有用",
        En => "👍 Helpful",
    }
}

/// The other one.
pub fn unhelpful(language: Language) -> &'static str {
    match language {
        Zh => "👎 没用",
        En => "👎 Not helpful",
    }
}

/// After a button.
pub fn thanks(language: Language) -> &'static str {
    match language {
        Zh => "谢谢反馈！",
        En => "Thank you for the feedback!",
    }
}

/// After a button that was not this reader's to press.
pub fn not_yours(language: Language) -> &'static str {
    match language {
        Zh => "只有提问的人可以评价这个回答。",
        En => "Only who asked can rate this answer.",
    }
}

/// What the bot can do.
pub fn help(language: Language) -> &'static str {
    match language {
        Zh => {
            "直接提问就好，例如：保证金要交多少？\n\n\
             - `/new` 或 `/新对话`：忘掉前面的内容，重新开始\n\
             - `/human` 或 `/人工`：请值班同事来看\n\
             - `/model` 或 `/模型`：看有哪些模型；`/model 名称` 换一个\n\
             - `/help` 或 `/帮助`：看这段说明"
        }
        En => {
            "Just ask, e.g. How much is the deposit?\n\n\
             - `/new`: forget what was said and start again\n\
             - `/human`: call the colleague on duty\n\
             - `/model`: which models there are; `/model NAME` selects one\n\
             - `/help`: this text"
        }
    }
}

/// After `/new`.
pub fn fresh(language: Language) -> &'static str {
    match language {
        Zh => "好的，重新开始。请问有什么问题？",
        En => "A fresh start. What is the question?",
    }
}

/// After `/human`.
pub fn called(language: Language) -> &'static str {
    match language {
        Zh => "已经通知值班同事，请稍候。",
        En => "The colleague on duty has been told and will come back to you.",
    }
}

/// After `/human` where nobody is on duty.
pub fn nobody(language: Language) -> &'static str {
    match language {
        Zh => "还没有设置值班同事（`duty_user` 或 `duty_group`），请直接联系商家客服。",
        En => "Nobody is on duty here (`duty_user`, `duty_group`). Please ask merchant support.",
    }
}

/// After `/human` when the platform did not take the note.
pub fn not_called(language: Language) -> &'static str {
    match language {
        Zh => "值班同事暂时通知不到，请稍后再试，或直接联系商家客服。",
        En => "The colleague on duty cannot be reached now. Try again later, or ask merchant support.",
    }
}

/// Beside the second answer in a row that the base did not have.
pub fn called_after_misses(language: Language) -> &'static str {
    match language {
        Zh => "连续两次没有找到依据，已经通知值班同事。",
        En => "Nothing was found twice in a row, so the colleague on duty has been told.",
    }
}

/// To whoever is on duty. `what` is the last thing that was said, `code` what a reply names it by.
pub fn alert(language: Language, who: &str, place: &str, what: &str, code: &str) -> String {
    match language {
        Zh => format!("**{who}** 在「{place}」需要人工帮助：\n\n> {what}\n\n答复请发给我：`/回复 {code} 内容`"),
        En => format!("**{who}** in “{place}” asks for a human:\n\n> {what}\n\nTo reply, tell me: `/answer {code} TEXT`"),
    }
}

/// A person's reply, to whoever asked.
pub fn reply_of_a_human(language: Language, question: &str, text: &str) -> String {
    match language {
        Zh => format!("> {question}\n\n**人工答复：**{text}"),
        En => format!("> {question}\n\n**Reply by a person:** {text}"),
    }
}

/// To whoever replies without being on duty.
pub fn only_on_duty(language: Language) -> &'static str {
    match language {
        Zh => "只有值班同事可以用 `/回复`。",
        En => "Only the colleague on duty can use `/answer`.",
    }
}

/// To a reply that could be to several, to none, or that is empty.
pub fn which_call(language: Language, calls: &str) -> String {
    match (language, calls) {
        (Zh, "") => "现在没有人在等人工答复。".to_owned(),
        (En, "") => "Nobody waits for a person now.".to_owned(),
        (Zh, calls) => format!("请写明答复哪一条：`/回复 编号 内容`\n{calls}"),
        (En, calls) => format!("Say which one this is for: `/answer CODE TEXT`\n{calls}"),
    }
}

/// To the second of two replies.
pub fn answered_before(language: Language) -> &'static str {
    match language {
        Zh => "这一条已经有人答复了。",
        En => "Somebody has replied to this already.",
    }
}

/// To a reply whose asker's conversation was deleted.
pub fn waits_no_more(language: Language) -> &'static str {
    match language {
        Zh => "那次对话已被删除，没有人再等这条答复，没有转达。",
        En => "That conversation was deleted and nobody waits for this any more; nothing was passed on.",
    }
}

/// To whoever replied.
pub fn passed_on(language: Language) -> &'static str {
    match language {
        Zh => "已经转达。",
        En => "Passed on.",
    }
}

/// The same, where it stays with the conversation.
pub fn passed_on_and_kept(language: Language) -> &'static str {
    match language {
        Zh => "已经转达，并记入这次对话，可在后台整理成知识。",
        En => "Passed on and kept with the conversation, where it can become knowledge.",
    }
}

/// The same, where the platform does not take it now.
pub fn passed_on_later(language: Language) -> &'static str {
    match language {
        Zh => "平台暂时收不下，稍后会自动转达；最终没能送到时会通知您。",
        En => "The platform does not take it now. It is passed on later by itself; you are told if it never arrives.",
    }
}

/// To whoever is on duty: the reply to a call never arrived, and the call waits again.
pub fn never_passed_on(language: Language, question: &str, code: &str) -> String {
    match language {
        Zh => format!("人工答复没能送到提问的人：\n\n> {question}\n\n请直接联系他，或再答复一次：`/回复 {code} …`"),
        En => format!("A reply never reached the asker:\n\n> {question}\n\nContact them directly, or reply again: `/answer {code} …`"),
    }
}

/// The same, of a conversation that was deleted meanwhile.
pub fn never_passed_on_and_deleted(language: Language, code: &str) -> String {
    match language {
        Zh => format!("对 `{code}` 的人工答复没能送到提问的人，那次对话后来已被删除。"),
        En => format!("The reply to `{code}` never reached the asker; their conversation was deleted since."),
    }
}

/// The same, where the asker could not be reached.
pub fn not_passed_on(language: Language) -> &'static str {
    match language {
        Zh => "没能转达给提问的人，请直接联系他，或稍后再发一次。",
        En => "The asker could not be reached. Contact them directly, or send it again later.",
    }
}

/// What a one-to-one chat is called.
pub fn alone(language: Language) -> &'static str {
    match language {
        Zh => "单聊",
        En => "a chat of their own",
    }
}

/// What a group without a name is called.
pub fn some_group(language: Language) -> &'static str {
    match language {
        Zh => "群聊",
        En => "a group",
    }
}

/// To something without words.
pub fn unreadable(kind: &str) -> String {
    let what = match kind {
        "picture" => "图片",
        "audio" => "语音",
        "video" => "视频",
        "file" => "文件",
        _ => "这类消息",
    };
    format!("我还看不懂{what}。请把问题用文字发给我。\n\nI cannot read this kind of message yet: please ask in words.")
}

/// To an empty mention.
pub fn empty(language: Language) -> &'static str {
    match language {
        Zh => "我在。请把问题写在 @ 后面，或发 `/help` 看我能做什么。",
        En => "Here I am. Write the question after the mention, or `/help`.",
    }
}

/// The models there are, and which one answers.
pub fn models(language: Language, current: &str, all: &[String]) -> String {
    let list: String = all.iter().map(|id| format!("\n- `{id}`")).collect();
    match language {
        Zh => format!("现在由 `{current}` 回答。可选：\n{list}\n\n发 `/model 名称` 更换。"),
        En => format!("`{current}` answers now. There are:\n{list}\n\n`/model NAME` selects one."),
    }
}

/// After `/model NAME`.
pub fn model_set(language: Language, id: &str) -> String {
    match language {
        Zh => format!("好的，之后由 `{id}` 回答。"),
        En => format!("`{id}` answers from now on."),
    }
}

/// After `/model` with a name that is none.
pub fn model_unknown(language: Language, id: &str) -> String {
    let id = brief(id);
    match language {
        Zh => format!("没有叫 `{id}` 的模型。\n\n"),
        En => format!("There is no model `{id}`.\n\n"),
    }
}

/// The beginning of somebody's words, on one line and without marks, to be shown among ours.
pub fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    let plain = text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
    match plain.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", plain[..at].trim_end()),
        None => plain,
    }
}

/// A question beyond what is read.
pub fn too_long(language: Language) -> &'static str {
    match language {
        Zh => "这条消息太长了，请缩短后再发。",
        En => "The message is too long. Shorten it and send it again.",
    }
}

/// To whoever is on duty, who may read either language.
pub fn test(bot: &str) -> String {
    format!("这是机器人 {bot} 的测试消息：它能把话送到这里。\n\nA test message of the bot {bot}: what it says arrives here.")
}

/// What [`failed`] says, where nobody knows who reads it.
pub fn failed_in_both() -> String {
    format!("{}\n\n{}", failed(Zh), failed(En))
}

/// Something on our side.
pub fn failed(language: Language) -> &'static str {
    match language {
        Zh => "回答没有完成，请稍后再问一次。",
        En => "The answer could not be finished. Please ask again in a moment.",
    }
}
