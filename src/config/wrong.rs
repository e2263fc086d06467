//! What is told of a configuration that cannot be read: which key, where it stands, and what may have been meant.

use std::fmt;

use figment::Metadata;
use figment::error::Kind;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::DEFAULTS;

/// From here on one name may be the other, misspelt; 1 is the same.
const ALIKE: f64 = 0.85;

/// The sentence for people.
pub(super) fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let place = error.metadata.as_ref().map(|metadata| place(metadata, &error.path));
    let place = place.map_or_else(String::new, |place| format!(" in {place}"));
    let wrong = match &error.kind {
        Kind::UnknownField(_, known) => format!("There is no key `{key}`{place}. {}", meant(&error.path, known)),
        kind if key.is_empty() => format!("The configuration is wrong: {kind}{place}."),
        kind => format!("The configuration is wrong: {kind} (key `{key}`){place}."),
    };
    format!("{wrong} `merchant-copilot doctor --defaults` prints every key.")
}

/// Which layer has it; of a file, the line too.
fn place(metadata: &Metadata, path: &[String]) -> String {
    let Some(source) = &metadata.source else { return metadata.name.to_string() };
    let text = source.file_path().and_then(|file| std::fs::read_to_string(file).ok());
    match text.and_then(|text| line(&text, path)) {
        Some(line) => format!("line {line} of {source}"),
        None => source.to_string(),
    }
}

/// The keys that may have been meant, or else those that the table has.
fn meant(path: &[String], known: &[&str]) -> String {
    let Some((name, table)) = path.split_last() else { return String::new() };
    let alike = known.iter().map(|key| (strsim::jaro_winkler(name, key), key)).filter(|(alike, _)| *alike >= ALIKE);
    let nearest = alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, key)| joined(table, key));
    let keys = nearest.map_or_else(|| elsewhere(name), |key| vec![key]);
    match keys.is_empty() {
        false => format!("Did you mean {}?", keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ")),
        true => format!("There are: {}.", known.join(", ")),
    }
}

/// The keys of that name in other tables.
fn elsewhere(name: &str) -> Vec<String> {
    fn look(table: &toml::Table, above: &[String], name: &str, found: &mut Vec<String>) {
        for (key, value) in table {
            if key == name {
                found.push(joined(above, key));
            }
            if let Some(table) = value.as_table() {
                look(table, &[above, std::slice::from_ref(key)].concat(), name, found);
            }
        }
    }
    let mut found = Vec::new();
    look(&DEFAULTS.parse().unwrap_or_default(), &[], name, &mut found);
    found
}

fn joined(table: &[String], key: &str) -> String {
    table.iter().map(String::as_str).chain([key]).collect::<Vec<_>>().join(".")
}

/// The line of a TOML text that a key stands in; the first is 1.
fn line(text: &str, path: &[String]) -> Option<usize> {
    let at = Place(path).deserialize(toml::Deserializer::new(text)).ok()?;
    Some(text.get(..at)?.matches('\n').count() + 1)
}

/// Where in the text a key begins that is so deep in tables and lists.
struct Place<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let (first, rest) = self.0.split_first().ok_or_else(|| A::Error::custom("the key is a table"))?;
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            if key.get_ref() != first {
                map.next_value::<IgnoredAny>()?;
            } else if rest.is_empty() {
                return Ok(key.span().start);
            } else {
                return map.next_value_seed(Place(rest));
            }
        }
        Err(A::Error::custom("no such key"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let (first, rest) = self.0.split_first().ok_or_else(|| A::Error::custom("the key is a list"))?;
        let before = first.parse::<usize>().map_err(A::Error::custom)?;
        for _ in 0..before {
            list.next_element::<IgnoredAny>()?;
        }
        list.next_element_seed(Place(rest))?.ok_or_else(|| A::Error::custom("no such item"))
    }
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format, Toml};

    use super::super::Config;
    use super::*;

    /// What is said of a file with this text.
    fn said(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.toml");
        std::fs::write(&file, text).unwrap();
        describe(&Figment::from(Toml::string(DEFAULTS)).merge(Toml::file_exact(file)).extract::<Config>().unwrap_err())
    }

    #[test]
    fn a_misspelt_key_is_told_with_its_line_and_what_may_have_been_meant() {
        for (text, key, line, meant) in [
            ("# mine\n[models]\nconect_ms = 1\n", "models.conect_ms", 3, "`models.connect_ms`?"),
            ("listenn = \"x\"\n", "listenn", 1, "`listen`?"),
            // In the wrong table.
            ("[chat]\n\nconnect_ms = 1\n", "chat.connect_ms", 3, "`models.connect_ms`?"),
            ("source = \"builtin\"\n", "source", 1, "`embedder.source` or `rerank.source`?"),
            (
                "[models.providers.mine]\nmodels = [\n  { id = \"a\" },\n  { idd = \"b\" },\n]\n",
                "models.providers.mine.models.1.idd",
                4,
                "models.1.id`?",
            ),
            ("[chat]\nxyzzy = 1\n", "chat.xyzzy", 2, "There are: message_chars, "),
        ] {
            let said = said(text);
            assert!(said.starts_with(&format!("There is no key `{key}` in line {line} of ")), "{said}");
            assert!(said.contains("shop.toml. ") && said.contains(meant), "{said}");
        }
    }

    #[test]
    fn a_value_that_is_none_is_told_with_its_line() {
        let said = said("\n[models]\nconnect_ms = \"soon\"\n");
        assert!(said.contains("key `models.connect_ms`") && said.contains("line 3 of ") && said.contains("soon"), "{said}");
    }
}
