//! What notices say, in the group's language.

use serde_json::Value;

use crate::channels::Post;
use crate::models::Language::{self, En, Zh};

/// Longest question in a notice, in characters.
const TEXT_CHARS: usize = 80;

/// The message of a notice.
pub fn notice(language: Language, event: &Value) -> Post {
    let data = &event["data"];
    let count = data["count"].as_u64().unwrap_or_default();
    let (title, lines) = match (event["type"].as_str().unwrap_or_default(), language) {
        ("notice.expiring", Zh) => {
            (format!("{count} 条知识 7 天内到期"), list(&data["entries"], |one| format!("（到 {} 为止）", plain(&one["until"]))))
        }
        ("notice.expiring", En) => {
            (format!("{count} entries expire within 7 days"), list(&data["entries"], |one| format!(" (until {})", plain(&one["until"]))))
        }
        ("notice.unanswered", Zh) => {
            (format!("一天内没有答上的提问：{count} 次"), list(&data["questions"], |one| times(one, "（", " 次）")))
        }
        ("notice.unanswered", En) => {
            (format!("Questions without an answer in a day: {count}"), list(&data["questions"], |one| times(one, " (", " times)")))
        }
        (_, Zh) => (
            format!("本月模型费用已用 {}%", data["share"]),
            vec![format!(
                "{} / {}，{} 重新计算。用完后只有内置模型回答。",
                money(data, "spent"),
                money(data, "limit"),
                plain(&data["resets_on"])
            )],
        ),
        (_, En) => (
            format!("{}% of the month's money for models is spent", data["share"]),
            vec![format!(
                "{} of {}; it starts again on {}. When it is spent only the built-in model answers.",
                money(data, "spent"),
                money(data, "limit"),
                plain(&data["resets_on"])
            )],
        ),
    };
    let mut text = format!("### {title}\n\n{}", lines.join("\n"));
    let left = count.saturating_sub(lines.len() as u64);
    if left > 0 && event["type"] == "notice.expiring" {
        text.push_str(&match language {
            Zh => format!("\n\n还有 {left} 条"),
            En => format!("\n\nand {left} more"),
        });
    }
    Post { title, text, mention: None }
}

fn list(all: &Value, tail: impl Fn(&Value) -> String) -> Vec<String> {
    let line = |(at, one): (usize, &Value)| format!("{}. {}{}", at + 1, plain(&one["text"]), tail(one));
    all.as_array().into_iter().flatten().enumerate().map(line).collect()
}

fn times(one: &Value, before: &str, after: &str) -> String {
    match one["times"].as_u64() {
        Some(times) if times > 1 => format!("{before}{times}{after}"),
        _ => String::new(),
    }
}

fn money(data: &Value, field: &str) -> String {
    format!("{:.2} {}", data[field].as_f64().unwrap_or_default(), plain(&data["currency"]))
}

/// On one line, not too long, and nothing that becomes a link or a picture: anybody may have asked it.
fn plain(text: &Value) -> String {
    let words = text.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let harmless = |c| match c {
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '`' => '\'',
        '*' | '_' | '#' | '|' => ' ',
        other => other,
    };
    let mut short: String = words.chars().take(TEXT_CHARS).map(harmless).collect();
    if words.chars().count() > TEXT_CHARS {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_notice_names_what_it_is_about_in_both_languages() {
        let event = json!({"type": "notice.unanswered", "data": {"count": 4, "questions": [
            {"text": "怎么[退款](http://evil.example)\n？", "times": 3}, {"text": "海外仓", "times": 1}]}});
        let post = notice(Zh, &event);
        assert_eq!(post.text, "### 一天内没有答上的提问：4 次\n\n1. 怎么［退款］(http://evil.example) ？（3 次）\n2. 海外仓");
        let event = json!({"type": "notice.expiring", "data": {"count": 12, "entries": [{"text": "Sale?", "until": "11-28 23:59"}]}});
        assert_eq!(notice(En, &event).text, "### 12 entries expire within 7 days\n\n1. Sale? (until 11-28 23:59)\n\nand 11 more");
        let event = json!({"type": "notice.spend", "data": {"share": 80, "spent": 8.126, "limit": 10.0, "currency": "CNY", "resets_on": "2026-12-01"}});
        assert_eq!(
            notice(Zh, &event).text,
            "### 本月模型费用已用 80%\n\n8.13 CNY / 10.00 CNY，2026-12-01 重新计算。用完后只有内置模型回答。"
        );
    }
}
