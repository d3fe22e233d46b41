//! The form of openFDA's drug labels (<https://open.fda.gov/apis/drug/label/>).

use std::time::Duration;

use async_trait::async_trait;
use calls::{Address, Breaking, Outgoing, Policy, Service};
use serde::Deserialize;

use super::{DrugError, DrugSource, Label};

/// How long all tries of a question may take.
const IN_ALL: Duration = Duration::from_secs(2);
/// How long one may.
const PER_TRY: Duration = Duration::from_millis(1_500);

/// A source in this form.
pub struct OpenFda {
    service: Service,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    results: Vec<Entry>,
}

/// A label; each section is a list of texts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    effective_time: Option<String>,
    indications_and_usage: Vec<String>,
    contraindications: Vec<String>,
    warnings: Vec<String>,
    boxed_warning: Vec<String>,
    adverse_reactions: Vec<String>,
    drug_interactions: Vec<String>,
    openfda: Names,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    generic_name: Vec<String>,
    brand_name: Vec<String>,
}

impl OpenFda {
    /// At this address, such as `https://api.fda.gov`.
    pub fn new(address: Address) -> Self {
        let policy = Policy {
            per_try: PER_TRY,
            in_all: IN_ALL,
            connect_within: Duration::from_secs(1),
            repeats_max: 2,
            breaking: Breaking::default(),
            answer_bytes_max: 4 * 1024 * 1024,
            ..Policy::default()
        };
        Self { service: Service::new("drugs", vec![address], policy) }
    }
}

#[async_trait]
impl DrugSource for OpenFda {
    async fn find(&self, name: &str) -> Result<Option<Label>, DrugError> {
        let quoted = format!("openfda.generic_name:\"{name}\" openfda.brand_name:\"{name}\"");
        let path = format!("/drug/label.json?limit=1&search={}", encoded(&quoted));
        let reply = self.service.ask(&Outgoing::get(path)).await?;
        match reply.status.as_u16() {
            200 => {}
            // How it says that it found nothing.
            404 => return Ok(None),
            status => return Err(DrugError::Status(status)),
        }
        let Found { results } = serde_json::from_slice(&reply.body).map_err(DrugError::Unreadable)?;
        Ok(results.into_iter().next().map(|entry| Label {
            name: name.to_owned(),
            generic_names: entry.openfda.generic_name,
            brand_names: entry.openfda.brand_name,
            indications: entry.indications_and_usage,
            contraindications: entry.contraindications,
            warnings: [entry.boxed_warning, entry.warnings].concat(),
            adverse_reactions: entry.adverse_reactions,
            interactions: entry.drug_interactions,
            effective_on: entry.effective_time,
            source: "openFDA",
        }))
    }
}

/// As part of an address.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
