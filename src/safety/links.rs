//! Links in an answer lead only where the sources or the operator point: an address that a model made
//! up, or that a poisoned entry talked it into, is taken out. Of the operator's hosts every page is known; of a
//! source's only the addresses that it names and what they begin with: `…/log?q=` with the merchant's words behind it
//! would carry them to whoever wrote the row, and an image is fetched without a click.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use url::Url;

use super::words::tail;
use super::{Action, Finding, Rule};
use crate::models::Language;

/// Longest address that is waited for, in characters behind its scheme.
const REACH: usize = 1024;

/// Longest scheme, and the character before it.
const SCHEME: usize = 17;

const ADDRESS: &str = r#"[^\s<>"'`()\[\]{}，。；！？、）】」》]"#;
/// Written out, with a scheme or without; the target of a Markdown link whatever its scheme; and that of a reference
/// (`[x]: …`), if it is an address. What is captured is the address; [`links`] cuts the first two to `REACH`, because a
/// pattern that counts so far takes megabytes, and the first answer that uses it a tenth of a second.
static LINK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let patterns = [
        format!(r"([a-z][a-z0-9+.-]{{1,15}}://|\bwww\.)({ADDRESS}+)"),
        format!(r"\]\(\s*<?({ADDRESS}+)"),
        format!(r"\]:\s*<?((?:[a-z][a-z0-9+.-]{{1,15}}:|[/\\]{{2}}){ADDRESS}+)"),
        format!(r"(//(?:[a-z0-9-]{{1,63}}\.){{1,8}}[a-z]{{2,24}}{ADDRESS}*)"),
    ];
    Regex::new(&format!("(?i){}", patterns.join("|"))).ok()
});
/// Those groups of the pattern that are cut.
const CUT: [usize; 2] = [2, 3];
/// How an address may begin.
const BEGINNINGS: [&str; 4] = ["://", "www.", "](", "]:"];
/// How the target of a link may be announced.
const ANNOUNCED: [&str; 4] = ["](", "](<", "]:", "]:<"];

/// Where an answer may link to.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// From the sources: these addresses, without their schemes, and no others.
    named: BTreeSet<String>,
    /// From the configuration: with their subdomains.
    configured: Vec<String>,
}

impl Links {
    /// Those of the configuration and all that the sources name.
    pub fn of<'a>(configured: &[String], sources: impl IntoIterator<Item = &'a str>) -> Self {
        let named = sources.into_iter().flat_map(named).collect();
        Self { named, configured: configured.iter().map(|host| host.to_lowercase()).collect() }
    }

    fn knows(&self, page: &Page) -> bool {
        let below = |known: &String| page.host.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'));
        let begins =
            |known: &String| known.strip_prefix(&page.address).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
        self.configured.iter().any(|known| *known == page.host || below(known))
            || self.named.range(page.address.clone()..).take_while(|known| known.starts_with(&page.address)).any(begins)
    }

    /// Whether an address may be followed.
    fn allows(&self, address: &str) -> bool {
        match target(address) {
            Target::Web(page) => self.knows(&page),
            Target::Here => true,
            Target::Elsewhere => false,
        }
    }
}

impl Rule for Links {
    fn find(&self, text: &str, language: Language) -> Vec<Finding> {
        let instead = match language {
            Language::Zh => "[链接已移除]",
            Language::En => "[link removed]",
        };
        let foreign = addresses(text).into_iter().filter(|span| !self.allows(&text[span.clone()]));
        foreign.map(|span| Finding { rule: "link", action: Action::Redact, span, instead: instead.to_owned() }).collect()
    }

    fn open_from(&self, text: &str) -> usize {
        let start = tail(text, REACH);
        let end = &text[start..];
        if let Some(begun) = last_link(end).filter(|span| span.end == end.len()) {
            return start + begun.start;
        }
        let unspaced = end.trim_end();
        if let Some(bracket) = ANNOUNCED.iter().find_map(|opening| unspaced.strip_suffix(opening)) {
            return start + bracket.len();
        }
        let word = end.rfind(char::is_whitespace).map_or(0, |at| at + end[at..].chars().next().map_or(0, char::len_utf8));
        let (before, begun) = (end[..word].trim_end(), end[word..].trim_start_matches('<'));
        match ANNOUNCED.iter().find_map(|opening| before.strip_suffix(opening)) {
            Some(bracket) if may_begin(begun) == 0 => start + bracket.len(),
            _ => start + word + may_begin(&end[word..]),
        }
    }

    fn untorn(&self, text: &str, at: usize) -> usize {
        links(text).find(|link| link.whole.start < at && at < link.whole.end).map_or(at, |link| link.whole.start)
    }
}

/// Where the scheme, or a beginning cut short, starts at the end of `word`.
fn may_begin(word: &str) -> usize {
    let lower = word.to_ascii_lowercase();
    let cut = |beginning: &str| (1..=beginning.len()).rev().find(|&length| lower.ends_with(&beginning[..length])).unwrap_or_default();
    let cut = BEGINNINGS.iter().map(|beginning| cut(beginning)).max().unwrap_or_default();
    let before = &lower[..word.len() - cut];
    let scheme = |c: &(usize, char)| c.1.is_ascii_alphanumeric() || matches!(c.1, '+' | '.' | '-');
    let scheme = before.char_indices().rev().take(SCHEME).take_while(scheme).last().map_or(before.len(), |(at, _)| at);
    // A host may follow two slashes.
    let host = lower.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).len();
    let slashes = lower[..host].trim_end_matches(['/', '\\']).len();
    if host - slashes > 1 || (host > slashes && host == lower.len()) { scheme.min(slashes) } else { scheme }
}

/// An address, and the same with what announces it.
struct Link {
    address: Range<usize>,
    whole: Range<usize>,
}

/// From left to right; behind an address that is cut begins what comes next.
fn links(text: &str) -> impl Iterator<Item = Link> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let hit = LINK.as_ref()?.captures_at(text, from)?;
        let whole = hit.get_match();
        let start = hit.iter().skip(1).flatten().next()?.start();
        let far = |group: regex::Match<'_>| group.as_str().char_indices().nth(REACH).map(|(at, _)| group.start() + at);
        from = CUT.into_iter().find_map(|group| hit.get(group)).and_then(far).unwrap_or(whole.end());
        Some(Link { address: start..from, whole: whole.start()..from })
    })
}

fn last_link(text: &str) -> Option<Range<usize>> {
    links(text).last().map(|link| link.whole)
}

/// The addresses in a text, without what announces them.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let spoken = |span: &Range<usize>| text[span.clone()].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).len();
    links(text).map(|link| link.address.start..link.address.start + spoken(&link.address)).collect()
}

/// The addresses of pages that a text names.
fn named(text: &str) -> Vec<String> {
    let named = addresses(text).into_iter().filter_map(|span| match target(&text[span]) {
        Target::Web(page) => Some(page.address),
        Target::Here | Target::Elsewhere => None,
    });
    named.collect()
}

/// A page of the web.
struct Page {
    host: String,
    /// Host and all that follows, without scheme, port 80 or 443, and slash at the end.
    address: String,
}

impl Page {
    fn at(url: &Url) -> Option<Self> {
        let host = url.host_str()?.trim_end_matches('.').to_owned();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let fragment = url.fragment().map(|fragment| format!("#{fragment}")).unwrap_or_default();
        let address = format!("{host}{port}{}{query}{fragment}", url.path());
        Some(Self { host, address: address.trim_end_matches('/').to_owned() })
    }
}

enum Target {
    /// A page of the web.
    Web(Page),
    /// A place on the same page, or an address that a person writes to.
    Here,
    /// A script, a file, another program.
    Elsewhere,
}

fn target(address: &str) -> Target {
    let lower = address.to_ascii_lowercase();
    // Readers of pages take `/\` for `//`, and `&` may begin a slash in disguise.
    let elsewhere = ["//", "\\\\", "/\\", "\\/", "/&"].iter().any(|start| lower.starts_with(start));
    let absolute = match lower.as_str() {
        here if here.starts_with('#') || (here.starts_with('/') && !elsewhere) => return Target::Here,
        bare if bare.starts_with("www.") => format!("http://{address}"),
        relative if elsewhere => format!("http://{}", relative.trim_start_matches(['/', '\\'])),
        _ => address.to_owned(),
    };
    // 的说明 right behind an address is no part of it.
    let ascii = absolute.find(|c: char| !c.is_ascii()).map_or(absolute.as_str(), |at| &absolute[..at]);
    let parsed = Url::parse(ascii).or_else(|_| Url::parse(&absolute));
    match parsed {
        Ok(url) if matches!(url.scheme(), "mailto" | "tel") => Target::Here,
        // A name before the host is never shown and always sent.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Target::Elsewhere,
        Ok(url) if matches!(url.scheme(), "http" | "https") => Page::at(&url).map_or(Target::Elsewhere, Target::Web),
        _ => Target::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safety::redacted;

    fn shown(text: &str) -> String {
        let links = Links::of(&["harborlane.example".to_owned()], ["规则见 https://rules.shop.cn/a?b=1 。", "www.known.com/path/"]);
        redacted(text, &links.find(text, Language::En))
    }

    #[test]
    fn only_known_hosts_stay() {
        for stays in [
            "see https://rules.shop.cn/a?b=1.",
            "see http://RULES.shop.cn/a",
            "见https://rules.shop.cn的说明",
            "[rules](https://help.harborlane.example/x)",
            "[top](#top) and [page](/console/)",
            "www.known.com/path",
            "no link: a.b.c, 3://4, and/or, // a comment, 和//或, a//b.c",
            "[注]: 请看下文，[1]: 12:30",
            "[rules]: https://rules.shop.cn/a",
            "//rules.shop.cn/a",
        ] {
            assert_eq!(shown(stays), stays);
        }
        for (text, left) in [
            ("go to https://evil.example/pay now", "go to [link removed] now"),
            ("[here](https://evil.example/pay).", "[here]([link removed])."),
            ("![x](https://evil.example/p?d=secret)", "![x]([link removed])"),
            ("[x](javascript:alert(1))", "[x]([link removed](1))"),
            ("[x](//evil.example)", "[x]([link removed])"),
            (
                "[x](/\\evil.example) [x](\\\\evil.example) [x](/&#47;evil.example)",
                "[x]([link removed]) [x]([link removed]) [x]([link removed])",
            ),
            ("看[x]。\n\n[x]: https://evil.example/p", "看[x]。\n\n[x]: [link removed]"),
            ("[x]:\n  <javascript:alert(1)> [y]: //evil.example", "[x]:\n  <[link removed](1)> [y]: [link removed]"),
            ("见 //evil.example/x，(//evil.example) //evil.example", "见 [link removed]，([link removed]) [link removed]"),
            ("见//evil.example:80/x?q=1", "见[link removed]"),
            ("//rules.shop.cn/a/secret", "[link removed]"),
            ("https://rules.shop.cn@evil.example/", "[link removed]"),
            ("https://rules.shop.cn.evil.example/", "[link removed]"),
            ("https://xharborlane.example", "[link removed]"),
            ("HTTPS://EVIL.EXAMPLE, www.evil.example!", "[link removed], [link removed]!"),
            ("https://恶意.example/x", "[link removed]"),
            ("![x](https://rules.shop.cn/a?b=1&q=secret)", "![x]([link removed])"),
            ("https://rules.shop.cn/a/secret, https://rules.shop.cn/ab", "[link removed], [link removed]"),
            ("https://rules.shop.cn:8443/a, https://secret@rules.shop.cn/a", "[link removed], [link removed]"),
        ] {
            assert_eq!(shown(text), left);
        }
    }

    #[test]
    fn a_very_long_address_is_cut_and_what_follows_is_looked_at() {
        let long = |begins: &str, chars: usize| format!("{begins}{}", "恶".repeat(chars));
        let cut = |text: &str| links(text).map(|link| text[link.address].chars().count()).collect::<Vec<_>>();
        assert_eq!(cut(&long("https://", REACH)), [8 + REACH]);
        assert_eq!(cut(&long("https://", REACH + 1)), [8 + REACH]);
        assert_eq!(cut(&long("www.", REACH + 1)), [4 + REACH]);
        assert_eq!(cut(&long("[x](", REACH + 1)), [REACH]);
        assert_eq!(cut(&long("[x]: //", REACH + 1)), [2 + REACH + 1], "of these none was ever cut");
        let next = format!("{} https://evil.example", long("https://a.b/", 2 * REACH));
        assert_eq!(cut(&next), [8 + REACH, 20]);
    }

    #[test]
    fn an_address_under_way_is_pending() {
        let links = Links::default();
        let pending = |text: &str| text[links.open_from(text)..].to_owned();
        assert_eq!(pending("见 https://a.b/c"), "https://a.b/c");
        assert_eq!(pending("见 https:/"), "https:/");
        assert_eq!((pending("[x]("), pending("[x]: ")), ("](".to_owned(), "]: ".to_owned()));
        assert_eq!((pending("见 //evil."), pending("见 //")), ("//evil.".to_owned(), "//".to_owned()));
        assert_eq!(pending("和//或"), "");
        assert_eq!(pending("见 https://a.b/c 。好"), "");
    }
}
