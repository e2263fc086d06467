//! Counts tokens the way current OpenAI models do (`o200k_base`): exact for those, and close enough
//! to budget a prompt for every other model.

use std::sync::OnceLock;

use tiktoken_rs::CoreBPE;

/// The vocabulary: some megabytes that take a moment to build, the same for everybody and never
/// changed, so one copy for the process. `None` if the compiled-in ranks could not be read.
static VOCABULARY: OnceLock<Option<CoreBPE>> = OnceLock::new();

/// Builds the vocabulary now, so that the first question does not wait for it. Takes a moment of
/// computation: call it from a blocking thread.
pub fn warm() {
    vocabulary();
}

/// Tokens in `text`; special tokens written in it count as ordinary text.
pub fn count(text: &str) -> usize {
    match vocabulary() {
        Some(vocabulary) => vocabulary.encode_ordinary(text).len(),
        None => estimate(text),
    }
}

fn vocabulary() -> Option<&'static CoreBPE> {
    let build = || match tiktoken_rs::o200k_base() {
        Ok(vocabulary) => Some(vocabulary),
        Err(error) => {
            tracing::error!(%error, "the token vocabulary could not be read; tokens are estimated");
            None
        }
    };
    VOCABULARY.get_or_init(build).as_ref()
}

/// A rough count on the high side: a token a character outside ASCII, one per three bytes inside.
fn estimate(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    text.chars().filter(|c| !c.is_ascii()).count() + ascii.div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_chinese_and_english() {
        warm();
        assert_eq!(count(""), 0);
        assert_eq!(count("hello world"), 2);
        let tokens = count("商家入驻需要缴纳多少保证金？");
        assert!((5..=14).contains(&tokens), "{tokens}");
        assert!(count("<|endoftext|>") > 1, "a special token in a question is just text");
    }

    #[test]
    fn the_estimate_is_not_lower_than_the_count() {
        for text in ["商家入驻需要缴纳多少保证金？", "How long does a refund take to arrive?"] {
            assert!(estimate(text) >= count(text), "{text}");
        }
    }
}
