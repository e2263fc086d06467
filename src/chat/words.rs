//! The few sentences the engine says itself, in the language of the question.

use crate::models::{Language, ModelError};

/// A greeting, or thanks.
pub fn greeting(language: Language) -> &'static str {
    match language {
        Language::Zh => "你好，我是商家助手。开店、保证金、发货、清关、退款、结算这些规则都可以问我，答案会附上出处。",
        Language::En => {
            "Hello, I am the merchant copilot. Ask me about opening a shop, deposits, shipping, customs, refunds or settlement; every answer names its source."
        }
    }
}

/// The knowledge base does not have it.
pub fn not_found(language: Language) -> &'static str {
    match language {
        Language::Zh => "知识库里没有找到这个问题的依据，我不猜。可以换个说法再问，或看看下面相近的问题；仍需要帮助时请联系商家客服。",
        Language::En => {
            "The knowledge base has nothing on this, and I will not guess. Try other words, look at the nearest questions below, or ask merchant support."
        }
    }
}

/// A guardrail does not let the question through.
pub fn refused(language: Language) -> &'static str {
    match language {
        Language::Zh => {
            "这条消息里有这里不处理的内容，所以没有去查资料，也没有交给模型。请换个说法再问；如果是误会，或需要人工处理，请联系商家客服。"
        }
        Language::En => {
            "This message has something in it that is not handled here, so nothing was looked up and no model has seen it. Please ask in other words; if this is a mistake, or you need a person, contact merchant support."
        }
    }
}

/// The model did not answer; what it was and what to do.
pub fn model_failed(error: &ModelError) -> String {
    match error {
        ModelError::Unauthorized(_) => {
            "The model's provider refuses the configured key. Tell the operator: `merchant-copilot doctor` shows which one.".to_owned()
        }
        ModelError::RateLimited(_) => "The model is busy. Ask again in a moment, or select another model.".to_owned(),
        ModelError::Refused(_) => "The model refuses this request. Ask in other words, or select another model.".to_owned(),
        ModelError::Unavailable(_) => "The model cannot be reached. Ask again in a moment, or select another model.".to_owned(),
        ModelError::Timeout(what) => format!("The model took too long ({what}). Ask again, or select another model."),
        ModelError::Broken(_) => "The model's answer broke off. What came is kept; ask again for a whole one.".to_owned(),
    }
}
