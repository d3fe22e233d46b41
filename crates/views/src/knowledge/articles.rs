//! The articles: each in each of its languages by itself, so that they are searched in one.

use events::knowledge::article::{ArticleEvent, ArticleText};
use uuid::Uuid;

use crate::prelude::*;

/// The view.
pub struct Articles;

/// An article in one language; one that was taken away is not there any more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Article {
    article_id: ArticleId,
    /// BCP 47 language tag.
    language: String,
    title: String,
    /// What it says: plain text, or CommonMark.
    body: String,
    published_at: DateTime<Utc>,
    revised_at: Option<DateTime<Utc>>,
}

impl Table for Articles {
    type Document = Article;
    const NAME: &'static str = "articles";
    const COLUMNS: &'static [Column<Article>] = &[
        uuid("article_id", |article| article.article_id.uuid().into()),
        text("language", |article| article.language.to_ascii_lowercase().into()),
        words("words", |article| format!("{}\n{}", article.title, article.body).into()),
        time("published_at", |article| article.published_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["article_id", "published_at"], &["language", "published_at"], &["published_at"]];
    const COLLECTION: Collection = Collection::new(
        "articles",
        "article",
        &[
            is("article_id").meaning("Of this article, in whatever language"),
            is("language").meaning("In these languages, by their BCP 47 tags in small letters"),
            search("search", "words"),
        ],
        &[Sort::by_greatest("published_at")],
    );
    const AREA: Area = Area::Protocol;
    const SCOPE: Scope = Scope::INSTALLATION;
}

impl View for Articles {
    const OF: StreamType = StreamType::Article;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        let AnyEvent::Article(event) = event else { return Vec::new() };
        let article_id = ArticleId::from(envelope.stream.id);
        let key = |language: &str| article_id.text(language).to_string();
        match event {
            ArticleEvent::ArticlePublished(published) => {
                published.texts.iter().map(|text| key(&text.language)).collect()
            }
            ArticleEvent::ArticleRevised(revised) => revised.texts.iter().map(|text| key(&text.language)).collect(),
            ArticleEvent::ArticleRetired(retired) => retired.languages.iter().map(|language| key(language)).collect(),
        }
    }

    fn fold(document: Option<Article>, key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Article> {
        let AnyEvent::Article(event) = event else { return document };
        let article_id = ArticleId::from(envelope.stream.id);
        let of_key = |texts: &[ArticleText]| {
            let is_of_key = |text: &&ArticleText| Uuid::try_parse(key).ok() == Some(article_id.text(&text.language));
            texts.iter().find(is_of_key).cloned()
        };
        let at = envelope.occurred_at;
        let (text, published_at, revised_at) = match event {
            ArticleEvent::ArticlePublished(published) => (of_key(&published.texts)?, at, None),
            ArticleEvent::ArticleRevised(revised) => {
                // A further language is new to whoever reads it.
                let published_at = document.map_or(at, |article| article.published_at);
                (of_key(&revised.texts)?, published_at, (published_at != at).then_some(at))
            }
            ArticleEvent::ArticleRetired(_) => return None,
        };
        let ArticleText { language, title, body } = text;
        Some(Article { article_id, language, title, body, published_at, revised_at })
    }
}
