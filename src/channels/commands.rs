//! What merchants can tell a bot beside asking: `/help`, `/new`, `/human`, `/model`, in Chinese and English.

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What can the bot do?
    Help,
    /// Forget what was said.
    New,
    /// Call a person, and what for, if that is said.
    Human(String),
    /// What a person on duty replies to whoever waits for one.
    Answer(String),
    /// Which models are there, or take this one.
    Model(Option<String>),
}

/// Reads a command; a question is none. Full-width slashes are what Chinese keyboards type.
pub fn read(text: &str) -> Option<Command> {
    let text = text.trim();
    // Merchants say these without a slash, and nothing else is meant by them.
    if matches!(text, "人工" | "转人工" | "人工客服" | "转人工客服") {
        return Some(Command::Human(String::new()));
    }
    let body = text.strip_prefix(['/', '／'])?;
    let (word, rest) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
    let rest = rest.trim();
    match word.to_lowercase().as_str() {
        "help" | "帮助" | "?" | "？" => Some(Command::Help),
        "new" | "新对话" | "重新开始" | "清空" => Some(Command::New),
        "human" | "人工" | "转人工" => Some(Command::Human(rest.to_owned())),
        "answer" | "reply" | "答复" | "回复" => Some(Command::Answer(rest.to_owned())),
        "model" | "models" | "模型" => Some(Command::Model(rest.split_whitespace().next().map(str::to_owned))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_in_both_languages_and_questions_are_none() {
        for (text, command) in [
            ("/help", Command::Help),
            (" ／帮助 ", Command::Help),
            ("/NEW", Command::New),
            ("/人工 有人吗", Command::Human("有人吗".into())),
            ("转人工", Command::Human(String::new())),
            ("/回复 AB12 十五天", Command::Answer("AB12 十五天".into())),
            ("/answer", Command::Answer(String::new())),
            ("/model", Command::Model(None)),
            ("/模型  qwen-plus ", Command::Model(Some("qwen-plus".into()))),
        ] {
            assert_eq!(read(text), Some(command), "{text}");
        }
        for text in ["help", "人工客服几点上班？", "/unknown", "1/2 是多少", "/"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
