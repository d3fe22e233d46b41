//! Information about drugs, from a source outside that is slow on bad days and away on others.
//!
//! What was told is kept with its age, and told again, marked as stale, while the source is away. Nothing else waits for it.

mod openfda;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use calls::{Address, CallError};
use chrono::{DateTime, Utc};
use event_store::clock;
use moka::sync::Cache;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;
use tokio::sync::Semaphore;

use openfda::OpenFda;

/// Drugs of which is kept what was told.
const KEPT_MAX: u64 = 10_000;
/// How long what was told is as good as new.
const FRESH_FOR: Duration = Duration::from_secs(3_600);
/// Questions at once.
const AT_ONCE_MAX: usize = 16;
/// Seconds after which a source that is away is worth another try.
const RETRY_SECONDS: u32 = 10;
/// Greatest length of a name.
const NAME_LENGTH_MAX: usize = 100;

/// What a source tells of a drug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The name that it was found by.
    pub name: String,
    /// Its generic names.
    pub generic_names: Vec<String>,
    /// Under which it is sold.
    pub brand_names: Vec<String>,
    /// What it is for.
    pub indications: Vec<String>,
    /// Who should not take it.
    pub contraindications: Vec<String>,
    /// What to look out for.
    pub warnings: Vec<String>,
    /// What it does that it should not.
    pub adverse_reactions: Vec<String>,
    /// What it must not be taken with.
    pub interactions: Vec<String>,
    /// When the source changed it last, as it says: `YYYYMMDD`.
    pub effective_on: Option<String>,
    /// Who says so.
    pub source: &'static str,
}

/// Why a source told nothing.
#[derive(Debug, thiserror::Error)]
pub enum DrugError {
    /// It does not answer.
    #[error("the source of drug information does not answer")]
    Away(#[from] CallError),
    /// It answers with a fault.
    #[error("the source of drug information answered {0}")]
    Status(u16),
    /// What it answers is not what it should be.
    #[error("the source's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// Tells about drugs; another one than openFDA implements this.
#[async_trait]
pub trait DrugSource: Send + Sync {
    /// What it knows of a drug, if it knows it.
    async fn find(&self, name: &str) -> Result<Option<Label>, DrugError>;
}

/// What was told, and when.
#[derive(Clone)]
struct Told {
    label: Option<Label>,
    at: DateTime<Utc>,
}

#[derive(Clone)]
struct Drugs {
    source: Option<Arc<dyn DrugSource>>,
    kept: Cache<String, Told>,
    at_once: Arc<Semaphore>,
}

/// What is answered.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    label: Label,
    /// When the source told it.
    fetched_at: DateTime<Utc>,
    /// How old that is.
    age_seconds: i64,
    /// Whether the source could not be asked again.
    stale: bool,
}

/// `GET /v1/drugs/{name}`, by the source at this address.
pub fn router(source: Option<Address>) -> Router {
    let source = source.map(|address| Arc::new(OpenFda::new(address)) as Arc<dyn DrugSource>);
    let (kept, at_once) = (Cache::new(KEPT_MAX), Arc::new(Semaphore::new(AT_ONCE_MAX)));
    Router::new().route("/v1/drugs/{name}", get(one)).with_state(Drugs { source, kept, at_once })
}

async fn one(
    State(drugs): State<Drugs>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<Answer>, Problem> {
    let name = named(&name)?;
    let Some(source) = &drugs.source else {
        let detail = "This server was not told a source of drug information (--drug-source-url).";
        return Err(Problem::not_found("not-found", detail));
    };
    let known = drugs.kept.get(&name);
    let now = clock::now();
    let is_fresh = |told: &Told| (now - told.at).to_std().unwrap_or_default() < FRESH_FOR;
    if let Some(told) = known.clone().filter(is_fresh) {
        return answer(&name, told, false);
    }
    match drugs.ask(&**source, &name).await {
        Ok(label) => {
            let told = Told { label, at: clock::now() };
            drugs.kept.insert(name.clone(), told.clone());
            answer(&name, told, false)
        }
        Err(problem) => known.map_or(Err(problem), |told| answer(&name, told, true)),
    }
}

/// A name as drugs are asked for by: nothing in it that means something to a source.
fn named(name: &str) -> Result<String, Problem> {
    let is_of_it = |character: char| character.is_alphanumeric() || " -',.".contains(character);
    let name = name.trim().to_lowercase();
    let length = name.chars().count();
    if (1..=NAME_LENGTH_MAX).contains(&length) && name.chars().all(is_of_it) {
        return Ok(name);
    }
    let expected = format!("The name must be 1 to {NAME_LENGTH_MAX} letters, digits, blanks and any of `-',.`.");
    Err(Problem::invalid("name", "malformed", expected))
}

fn answer(name: &str, told: Told, stale: bool) -> Result<Json<Answer>, Problem> {
    let Told { label, at } = told;
    let unknown = || Problem::not_found("drug-not-found", format!("The source knows no drug `{name}`."));
    let age_seconds = (clock::now() - at).num_seconds().max(0);
    Ok(Json(Answer { label: label.ok_or_else(unknown)?, fetched_at: at, age_seconds, stale }))
}

impl Drugs {
    async fn ask(&self, source: &dyn DrugSource, name: &str) -> Result<Option<Label>, Problem> {
        let away = || {
            let detail = "The source of drug information does not answer, and nothing is known of this drug yet.";
            Problem::unavailable("drug-source-unavailable", detail, RETRY_SECONDS)
        };
        // Those who wait for a slow source do not pile up.
        let _turn = self.at_once.try_acquire().map_err(|_| away())?;
        source.find(name).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "drug information cannot be had");
            away()
        })
    }
}
