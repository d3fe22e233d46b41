//! The knowledge base, for everybody: without a token, within a budget of its own.
//!
//! Whatever crawls it takes nothing from the clinic: so many requests a second, so few of them at the database at once, and what was
//! read lately is kept. More is refused at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use event_store::Store;
use event_store::views::{ColumnValue, Cursor, Direction, Filter, FilterOp, ListQuery};
use events::ids::ArticleId;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use service::problem::Problem;
use service::shedding::{Priority, Shedding};
use tokio::sync::Semaphore;
use uuid::Uuid;
use views::Table as _;
use views::knowledge::articles::Articles;

use crate::entity_tag::EntityTag;
use crate::lists::{read, uuid_in_path};
use crate::parameters::Parameters;
use crate::render::from_view;

/// Articles of a page where nobody says, and at most.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
/// Requests a second, of all who read.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(500).expect("a rate");
/// Questions to the database at once.
const AT_ONCE_MAX: usize = 2;
/// How long an answer is kept here, and by whoever stands in between.
const KEPT_FOR: Duration = Duration::from_secs(5);
const KEPT_ELSEWHERE: &str = "public, max-age=60";
/// Answers that are kept, and bytes of them together.
const KEPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What everybody may read.
#[derive(Clone)]
struct Knowledge {
    store: Store,
    rate: Arc<DefaultDirectRateLimiter>,
    at_once: Arc<Semaphore>,
    kept: Cache<String, Arc<Kept>>,
    shedding: Shedding,
}

/// An answer that was read.
struct Kept {
    tag: EntityTag,
    body: String,
}

/// A page of articles.
#[derive(Serialize, schemars::JsonSchema)]
pub struct ArticlesPage<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Pass it as `after` to get the next page; null on the last.
    pub next: Option<String>,
}

/// An article as it is listed.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub struct ArticleTitle {
    article_id: ArticleId,
    /// BCP 47 language tag.
    language: String,
    title: String,
    published_at: chrono::DateTime<chrono::Utc>,
    revised_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// The routes; under load they are among the first that are refused.
pub fn router(store: Store, shedding: Shedding) -> Router {
    let kept = Cache::builder()
        .max_capacity(KEPT_BYTES_MAX)
        .weigher(|address: &String, kept: &Arc<Kept>| {
            u32::try_from(address.len() + kept.body.len()).unwrap_or(u32::MAX)
        })
        .time_to_live(KEPT_FOR)
        .build();
    let knowledge = Knowledge {
        store,
        rate: Arc::new(RateLimiter::direct(Quota::per_second(PER_SECOND))),
        at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        kept,
        shedding,
    };
    Router::new()
        .route("/v1/knowledge/{language}", get(list))
        .route("/v1/knowledge/{language}/{id}", get(one))
        .with_state(knowledge)
}

/// `GET /v1/knowledge/<language>`.
async fn list(
    State(knowledge): State<Knowledge>,
    Path(language): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = query(&language, &uri)?;
    let address = uri.to_string();
    knowledge
        .answer(address, &headers, async |knowledge| {
            let page = knowledge.store.views.list(Articles::NAME, &query).await.map_err(from_view)?;
            let titles = page.rows.iter().map(|(_, document)| read::<ArticleTitle>(document.get()));
            let page = ArticlesPage {
                items: titles.collect::<Result<Vec<_>, _>>()?,
                next: page.next.map(|next| next.encode()),
            };
            written(&page)
        })
        .await
}

/// `GET /v1/knowledge/<language>/<id>`.
async fn one(
    State(knowledge): State<Knowledge>,
    Path((language, id)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Parameters::of(&uri)?.finish()?;
    let article_id = ArticleId::from(uuid_in_path(&id)?);
    let key: Uuid = article_id.text(&language);
    knowledge
        .answer(uri.to_string(), &headers, async |knowledge| {
            let found = knowledge.store.views.get(Articles::NAME, &key.to_string()).await.map_err(from_view)?;
            let missing = || Problem::not_found("not-found", "There is no such article in this language.");
            Ok(Box::<str>::from(found.document.ok_or_else(missing)?).into_string())
        })
        .await
}

fn query(language: &str, uri: &Uri) -> Result<ListQuery, Problem> {
    let mut parameters = Parameters::of(uri)?;
    let equals = |column: &str, op, value| Filter { column: column.to_owned(), op, values: vec![value] };
    let mut filters = vec![equals("language", FilterOp::Equals, ColumnValue::Text(language.to_ascii_lowercase()))];
    if let Some(text) = parameters.text("search")? {
        filters.push(equals("words", FilterOp::Words, ColumnValue::Text(views::searched(&text))));
    }
    let foreign = |_| Problem::invalid("after", "foreign-cursor", "`after` must be the `next` of an earlier page.");
    let after = parameters.text("after")?.map(|text| Cursor::decode(&text).map_err(foreign)).transpose()?;
    let expected = format!("a whole number from 1 to {LIMIT_MAX}");
    let limit = parameters.parsed("limit", &expected)?.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", "out-of-range", format!("`limit` must be {expected}.")));
    }
    parameters.finish()?;
    let sort = Some(("published_at".to_owned(), Direction::Descending));
    Ok(ListQuery { filters, within: None, sort, after, limit })
}

fn written(answer: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(answer).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "an answer could not be written");
        Problem::internal()
    })
}

impl Knowledge {
    /// What is kept of an address, or else what is read now, where there is room for one more who reads.
    async fn answer(
        &self,
        address: String,
        headers: &HeaderMap,
        reading: impl AsyncFnOnce(&Self) -> Result<String, Problem>,
    ) -> Result<Response, Problem> {
        if self.rate.check().is_err() {
            let detail = format!("More than {PER_SECOND} requests a second to the knowledge base are not answered.");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-fast", detail).retry_after(1));
        }
        let kept = match self.kept.get(&address) {
            Some(kept) => kept,
            None => {
                let _admitted = self.shedding.admit(Priority::Knowledge)?;
                let _turn = self.at_once.try_acquire().map_err(|_| {
                    Problem::unavailable("too-many-requests", "Too many read the knowledge base at once.", 1)
                })?;
                let body = reading(self).await?;
                let kept = Arc::new(Kept { tag: EntityTag::of_content(&body), body });
                self.kept.insert(address, kept.clone());
                kept
            }
        };
        let mut response = if kept.tag.is_known(headers) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "application/json")], kept.body.clone()).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(KEPT_ELSEWHERE));
        if let Some(tag) = kept.tag.header() {
            headers.insert(header::ETAG, tag);
        }
        Ok(response)
    }
}
