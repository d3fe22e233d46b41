//! Events of an `article` stream: something that everybody may read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::Prose;

/// An article in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArticleText {
    /// BCP 47 language tag.
    pub language: String,
    /// Its title.
    pub title: String,
    /// What it says: plain text, or CommonMark.
    pub body: String,
}

/// The article can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArticlePublished {
    /// In these languages.
    pub texts: Vec<ArticleText>,
}

/// It says something else, or is there in a further language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleRevised {
    /// In these languages; in the others it stays as it is.
    pub texts: Vec<ArticleText>,
}

/// It can be read no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleRetired {
    /// In which languages it was there.
    pub languages: Vec<String>,
    /// Why.
    pub reason: Prose,
}

event_set! {
    /// What can happen to an article.
    pub enum ArticleEvent in Article {
        ArticlePublished = 1;
        ArticleRevised = 1;
        ArticleRetired = 1;
    }
}
