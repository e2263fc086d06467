//! Markdown that platforms take: cut into messages at paragraph and sentence ends, and closed where it
//! stops in the middle, so that what is shown so far is always whole.

/// Longest text of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In characters.
    pub chars: usize,
    /// In bytes of UTF-8.
    pub bytes: usize,
}

const FENCE: &str = "```";
/// Room for a fence that is closed at the end of a piece and opened again in the next, and the longest opening that is
/// repeated there as it is.
const FENCE_ROOM: usize = 32;
const LONGEST_OPENING: usize = 20;

impl Limit {
    /// Whether it fits.
    pub fn fits(self, text: &str) -> bool {
        text.len() <= self.bytes && text.chars().count() <= self.chars
    }

    /// The bytes of the longest beginning that fits.
    fn reach(self, text: &str) -> usize {
        let end = |(at, c): (usize, char)| at + c.len_utf8();
        let fitting = text.char_indices().take(self.chars).map(end).take_while(|end| *end <= self.bytes);
        fitting.last().unwrap_or(0)
    }

    fn minus(self, room: usize) -> Self {
        Self { chars: self.chars.saturating_sub(room).max(1), bytes: self.bytes.saturating_sub(room).max(4) }
    }
}

/// Cuts a text into pieces that fit: at paragraphs where possible, else at lines, else at sentence ends,
/// else between words. Nothing is lost, and a code fence is closed and opened again. Each piece leaves less to be cut,
/// whatever the text.
pub fn split(text: &str, limit: Limit) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim().to_owned();
    while !limit.fits(&rest) {
        let at = cut(&rest, limit.minus(FENCE_ROOM));
        let (head, tail) = rest.split_at(at);
        let (head, tail) = (head.trim_end(), tail.trim_start_matches(['\n', ' ']));
        let again = open_fence(head).map(|opening| if opening.len() <= LONGEST_OPENING { opening } else { FENCE });
        let (head, tail) = match again {
            Some(opening) if opening.len() + 1 + tail.len() < rest.len() => (format!("{head}\n{FENCE}"), format!("{opening}\n{tail}")),
            _ => (head.to_owned(), tail.to_owned()),
        };
        pieces.push(head);
        rest = tail;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Where to cut: the last good place in the second half of what fits, else the end of what fits.
fn cut(text: &str, limit: Limit) -> usize {
    let reach = limit.reach(text).max(text.chars().next().map_or(0, char::len_utf8));
    let window = &text[..reach];
    let late = |at: &usize| *at >= reach / 2;
    let after = |mark: &str| window.rfind(mark).map(|at| at + mark.len()).filter(late);
    let sentence = || {
        let mut ends = window.char_indices().filter(|(at, c)| ends_sentence(*c, &window[at + c.len_utf8()..]));
        ends.next_back().map(|(at, c)| at + c.len_utf8()).filter(late)
    };
    after("\n\n").or_else(|| after("\n")).or_else(sentence).or_else(|| after(" ")).unwrap_or(reach)
}

/// Chinese ends are ends by themselves; a full stop is one only before a space (not in 10.5 or a link).
fn ends_sentence(c: char, next: &str) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '…') && !next.starts_with(['”', '」', '）', '['])
        || matches!(c, '.' | '!' | '?') && next.starts_with(' ')
}

/// The opening line of a fence that is still open at the end.
fn open_fence(text: &str) -> Option<&str> {
    text.lines().filter(|line| line.trim_start().starts_with(FENCE)).fold(None, |open, line| match open {
        Some(_) => None,
        None => Some(line.trim_start()),
    })
}

/// Somebody else's words on one line of ours, with nothing in them that a platform would draw or call somebody by: marks
/// become the wide ones that they look like.
pub fn plain(text: &str) -> String {
    let wide = |c: char| match c {
        '*' => '＊',
        '`' => '｀',
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '~' => '～',
        '|' => '｜',
        '#' => '＃',
        _ => c,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().map(wide).collect()
}

/// The text so far as whole Markdown: a fence, code or bold that is open is closed, a link that is half
/// there is left out.
pub fn closed(text: &str) -> String {
    if open_fence(text).is_some() {
        return format!("{}\n{FENCE}", text.trim_end());
    }
    let mut text = without_half_link(text).to_owned();
    let last = text.rfind("\n\n").map_or(0, |at| at + 2);
    let outside_fences = text[last..].replace(FENCE, "");
    if outside_fences.matches('`').count() % 2 == 1 {
        text.push('`');
    } else if outside_fences.matches("**").count() % 2 == 1 {
        text = text.trim_end().to_owned();
        match text.strip_suffix("**") {
            Some(bare) => text = bare.to_owned(),
            None => text.push_str("**"),
        }
    }
    text
}

/// Drops `[text](http…` and `[text` at the end; `[1]` is whole.
fn without_half_link(text: &str) -> &str {
    let line = text.rfind('\n').map_or(0, |at| at + 1);
    let Some(open) = text[line..].rfind('[').map(|at| line + at) else { return text };
    let half = match text[open..].split_once("](") {
        Some((_, address)) => !address.contains(')'),
        None => !text[open..].contains(']'),
    };
    let image = text[..open].ends_with('!');
    if half { &text[..open - usize::from(image)] } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limit = Limit { chars: 100, bytes: 240 };

    #[test]
    fn pieces_fit_end_with_sentences_and_lose_nothing() {
        let text = "保证金在满足退还条件后原路退回，最长十五天到账。有未结纠纷的要先处理完！".repeat(9);
        let pieces = split(&text, SMALL);
        assert!(pieces.len() > 3);
        assert_eq!(pieces.concat(), text);
        for piece in &pieces {
            assert!(SMALL.fits(piece) && piece.ends_with(['。', '！']), "{piece}");
        }
        assert_eq!(split("", SMALL), [""]);
    }

    #[test]
    fn what_cannot_be_cut_well_is_cut_all_the_same() {
        for text in ["字".repeat(300), "😀".repeat(150), "x".repeat(500)] {
            let pieces = split(&text, SMALL);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| SMALL.fits(piece)));
        }
    }

    #[test]
    fn a_fence_is_closed_and_opened_again() {
        let text = format!("```text\n{}\n```\nafter", "a line of code\n".repeat(20));
        let pieces = split(&text, SMALL);
        assert!(pieces.len() > 2);
        for piece in &pieces {
            assert!(SMALL.fits(piece) && piece.matches(FENCE).count() % 2 == 0, "{piece}");
        }
        assert!(pieces[1].starts_with("```text\n"));
    }

    #[test]
    fn an_opening_line_without_an_end_is_cut_like_any_other() {
        let text = format!("```{}", "x".repeat(1_000));
        let pieces = split(&text, SMALL);
        assert!(pieces.len() < 30 && pieces.iter().all(|piece| SMALL.fits(piece)), "{pieces:?}");
        let all: usize = pieces.iter().map(|piece| piece.matches('x').count()).sum();
        assert_eq!(all, 1_000);
    }

    proptest::proptest! {
        /// Ends, fits and loses no word, whatever is cut.
        #[test]
        fn any_text_is_cut_into_pieces_that_fit(
            parts in proptest::collection::vec(proptest::sample::select(vec!["```", "```text\n", "\n", "\n\n", "。", " ", "字", "word", "`", "x"]), 0..400),
            chars in 40_usize..120,
        ) {
            let text = parts.concat();
            let limit = Limit { chars, bytes: chars * 3 };
            let pieces = split(&text, limit);
            for piece in &pieces {
                proptest::prop_assert!(limit.fits(piece), "{piece:?}");
            }
            let count = |text: &str| text.chars().filter(|c| matches!(c, '字' | '。' | 'w')).count();
            // More, where an opening line is repeated.
            proptest::prop_assert!(pieces.iter().map(|piece| count(piece)).sum::<usize>() >= count(&text));
        }
    }

    #[test]
    fn a_point_in_a_number_or_an_address_ends_no_sentence() {
        let text = format!("{} costs 10.5 at https://a.example.com/x{}", "word ".repeat(12), " tail".repeat(20));
        assert!(split(&text, SMALL).iter().all(|piece| !piece.ends_with("10.") && !piece.ends_with("a.")));
    }

    #[test]
    fn somebody_elses_words_draw_nothing_and_call_nobody() {
        assert_eq!(plain(" a_b\n**bold** [x](http://y) "), "a_b ＊＊bold＊＊ ［x］(http://y)");
        assert_eq!(plain("<!channel> <at id=all></at> `/回复 ab12`"), "＜!channel＞ ＜at id=all＞＜/at＞ ｀/回复 ab12｀");
    }

    #[test]
    fn what_stops_in_the_middle_is_whole() {
        for (so_far, whole) in [
            ("plain", "plain"),
            ("a **bold", "a **bold**"),
            ("a **", "a "),
            ("use `code", "use `code`"),
            ("```\nx", "```\nx\n```"),
            ("see [the rule](https://a", "see "),
            ("see [the", "see "),
            ("done [1]", "done [1]"),
            ("see ![pic](http", "see "),
            ("**a** and [b](http://c)", "**a** and [b](http://c)"),
        ] {
            assert_eq!(closed(so_far), whole, "{so_far}");
        }
    }
}
