//! The article: something that everybody may read, in several languages.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt};
use events::envelope::References;
use events::ids::ArticleId;
use events::knowledge::article::{ArticleEvent, ArticlePublished, ArticleRetired, ArticleRevised, ArticleText};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::{self, Faults, Invalid, NotFound};

/// Languages of an article.
const LANGUAGES_MAX: usize = 30;
/// Greatest length of what it says in one language: some forty printed pages.
const BODY_LENGTH_MAX: usize = 100_000;

/// An article.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Article {
    /// Never published.
    #[default]
    Absent,
    /// Can be read: in these languages, by their tags in small letters.
    Published(BTreeMap<String, ArticleText>),
    /// Can be read no more.
    Retired,
}

/// Publishes an article. Everybody may read it: nothing about anybody belongs in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishArticle {
    /// What it says, in each language once.
    pub texts: Vec<ArticleText>,
}

/// Changes what an article says, or adds a language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviseArticle {
    /// What it says from now on in these languages; in the others it stays as it is.
    pub texts: Vec<ArticleText>,
}

/// Takes an article away. What it said stays in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireArticle {
    /// Why.
    pub reason: String,
}

rules! {
    /// Why a command to an article is refused.
    pub enum ArticleError {
        AlreadyPublished => ALREADY_PUBLISHED = "article-already-published": "the article is published already: revise it";
        Retired => RETIRED = "article-retired": "the article was taken away; publish another one";
        NoText => NO_TEXT = "article-without-text": "an article has a text in one language at least", field "texts";
        _ => NOT_FOUND = "article-not-found";
    }
}

fn check(texts: &[ArticleText]) -> Result<(), Halt> {
    if texts.is_empty() {
        return Err(ArticleError::NoText.into());
    }
    validate::count("texts", texts.len(), LANGUAGES_MAX)?;
    let of_each = texts.iter().enumerate().map(|(index, text)| {
        let field = |name: &str| format!("texts/{index}/{name}");
        validate::all([
            validate::language(&field("language"), &text.language),
            validate::text(&field("title"), &text.title),
            check_body(&field("body"), &text.body),
        ])
    });
    let languages: Vec<String> = texts.iter().map(|text| text.language.to_ascii_lowercase()).collect();
    let distinct = validate::distinct("texts", languages.iter().map(String::as_str)).map_err(Faults::from);
    validate::all(of_each.chain([distinct]))?;
    Ok(())
}

/// As prose, and longer.
fn check_body(field: &str, body: &str) -> Result<(), Invalid> {
    if body.chars().count() > BODY_LENGTH_MAX {
        return Err(Invalid::TooLong { field: field.to_owned(), max: BODY_LENGTH_MAX });
    }
    // In pieces that are no longer than prose, each judged by itself; blanks at their ends are not its own.
    let lines = body.lines().filter(|line| !line.trim().is_empty());
    if lines.clone().next().is_none() {
        return Err(Invalid::Blank { field: field.to_owned() });
    }
    lines.map(str::trim).try_for_each(|line| validate::prose(field, line))
}

impl Article {
    /// What it says now.
    fn published(&self, article_id: ArticleId) -> Result<&BTreeMap<String, ArticleText>, Halt> {
        match self {
            Article::Published(texts) => Ok(texts),
            Article::Retired => Err(ArticleError::Retired.into()),
            Article::Absent => Err(NotFound::halt(ArticleError::NOT_FOUND, "article", article_id, None)),
        }
    }
}

impl Command for PublishArticle {
    type Target = ArticleId;
    const NAME: &'static str = "PublishArticle";

    fn decide(&self, article_id: ArticleId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        check(&self.texts)?;
        match facts.get::<Article>(article_id)? {
            Article::Absent => {
                let published = ArticlePublished { texts: self.texts.clone() };
                Ok(Decision::new(References::default(), context.now).append(article_id, published))
            }
            Article::Published(_) => Err(ArticleError::AlreadyPublished.into()),
            Article::Retired => Err(ArticleError::Retired.into()),
        }
    }
}

impl Command for ReviseArticle {
    type Target = ArticleId;
    const NAME: &'static str = "ReviseArticle";

    fn decide(&self, article_id: ArticleId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        check(&self.texts)?;
        let known = facts.get::<Article>(article_id)?.published(article_id)?;
        let is_new = |text: &&ArticleText| known.get(&text.language.to_ascii_lowercase()) != Some(*text);
        let texts: Vec<ArticleText> = self.texts.iter().filter(is_new).cloned().collect();
        let added = texts.iter().filter(|text| !known.contains_key(&text.language.to_ascii_lowercase())).count();
        validate::count("texts", known.len() + added, LANGUAGES_MAX)?;
        let decision = Decision::new(References::default(), context.now);
        if texts.is_empty() { Ok(decision) } else { Ok(decision.append(article_id, ArticleRevised { texts })) }
    }
}

impl Command for RetireArticle {
    type Target = ArticleId;
    const NAME: &'static str = "RetireArticle";

    fn decide(&self, article_id: ArticleId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        let article = facts.get::<Article>(article_id)?;
        let decision = Decision::new(References::default(), context.now);
        if *article == Article::Retired {
            return Ok(decision);
        }
        let languages = article.published(article_id)?.values().map(|text| text.language.clone()).collect();
        Ok(decision.append(article_id, ArticleRetired { languages, reason: self.reason.clone().into() }))
    }
}

impl Aggregate for Article {
    type Id = ArticleId;
    type Event = ArticleEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, event: &ArticleEvent, _occurred_at: DateTime<Utc>) -> Self {
        let by_language = |texts: &[ArticleText]| {
            texts.iter().map(|text| (text.language.to_ascii_lowercase(), text.clone())).collect()
        };
        match (self, event) {
            (Article::Absent, ArticleEvent::ArticlePublished(published)) => {
                Article::Published(by_language(&published.texts))
            }
            (Article::Published(mut texts), ArticleEvent::ArticleRevised(revised)) => {
                let changed: BTreeMap<String, ArticleText> = by_language(&revised.texts);
                texts.extend(changed);
                Article::Published(texts)
            }
            (Article::Published(_), ArticleEvent::ArticleRetired(_)) => Article::Retired,
            // Not decided by any command; the log is read all the same.
            (article, _) => article,
        }
    }
}
