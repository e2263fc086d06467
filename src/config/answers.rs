//! `[answers]`: what stands under every answer, what visitors of a page may choose, and whether there are answers without
//! sources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[answers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every key")]
pub struct AnswersConfig {
    pub ai_mark: AiMark,
    pub visitors_choose_model: bool,
    pub without_sources: bool,
    #[serde(default)]
    pub tenants: BTreeMap<String, TenantAnswers>,
}

/// Says that AI made an answer, by language; an empty text says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct AiMark {
    /// Under Chinese answers.
    pub zh: String,
    /// Under English ones.
    pub en: String,
}

impl AiMark {
    /// The words for an answer in this language (`zh`, `en`), if there are any.
    pub fn of(&self, language: &str) -> Option<&str> {
        let mark = if language == "en" { self.en.trim() } else { self.zh.trim() };
        (!mark.is_empty()).then_some(mark)
    }
}

/// `[answers.tenants.<name>]`: what one shop has instead.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantAnswers {
    /// Its own mark.
    pub ai_mark: Option<AiMark>,
    /// Whether its visitors choose.
    pub visitors_choose_model: Option<bool>,
    /// Whether a model may answer it what its base does not know.
    pub without_sources: Option<bool>,
}

impl AnswersConfig {
    /// What stands under a shop's answers.
    pub fn ai_mark(&self, tenant: &str) -> &AiMark {
        self.tenants.get(tenant).and_then(|own| own.ai_mark.as_ref()).unwrap_or(&self.ai_mark)
    }

    /// Whether whoever has a shop's site key may name the model that answers.
    pub fn visitors_choose_model(&self, tenant: &str) -> bool {
        self.tenants.get(tenant).and_then(|own| own.visitors_choose_model).unwrap_or(self.visitors_choose_model)
    }

    /// Whether a shop lets a model answer what its base does not know, from what the model knows itself.
    pub fn without_sources(&self, tenant: &str) -> bool {
        self.tenants.get(tenant).and_then(|own| own.without_sources).unwrap_or(self.without_sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_has_its_own_or_everybodys() {
        let text = r#"
            ai_mark = { zh = "甲", en = "a" }
            visitors_choose_model = true
            without_sources = false
            [tenants.own]
            ai_mark = { zh = "", en = "b" }
            visitors_choose_model = false
            without_sources = true
        "#;
        let config: AnswersConfig = toml::from_str(text).unwrap();
        assert_eq!((config.ai_mark("own").zh.as_str(), config.ai_mark("own").en.as_str()), ("", "b"));
        assert_eq!(config.ai_mark("demo").zh, "甲");
        assert!(config.visitors_choose_model("demo") && !config.visitors_choose_model("own"));
        assert!(config.without_sources("own") && !config.without_sources("demo"));
    }
}
