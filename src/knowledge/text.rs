//! stub
/// NFKC, lower case, traditional to simplified, white space folded: what two spellings of the same text share.
pub fn normalise(text: &str) -> String { text.to_lowercase() }
/// `normalise` without anything but letters, digits and Han characters: the identity of a question.
pub fn question_key(text: &str) -> String { normalise(text).chars().filter(|c| c.is_alphanumeric()).collect() }
