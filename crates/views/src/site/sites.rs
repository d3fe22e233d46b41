//! The sites of all trials.

use authority::Area;
use events::TimeZone;
use events::envelope::Envelope;
use events::ids::{SiteId, StreamType, TrialId};
use events::registry::AnyEvent;
use events::site::SiteEvent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, name_of, named, text, uuid};
use crate::table::{Collection, Place, STATUS, Scope, Sort, TRIAL, Table, is};
use crate::view::View;

/// The view.
pub struct Sites;

/// A site: a hospital or research centre in one trial.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    site_id: SiteId,
    trial_id: TrialId,
    site: String,
    name: String,
    country: Option<String>,
    time_zone: TimeZone,
    status: SiteStatus,
    enrolment_cap: Option<u32>,
    investigator: Option<String>,
}

/// Whether a site takes patients.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SiteStatus {
    /// Not yet.
    Registered,
    /// It does.
    Active,
    /// Not for the moment.
    Suspended,
}

impl Table for Sites {
    type Document = Site;
    const NAME: &'static str = "sites";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Site>] = &[
        uuid("trial_id", |site| site.trial_id.uuid().into()),
        named("site", |site| site.site.clone().into()),
        text("status", |site| name_of(&site.status)),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[&["trial_id", "site"], &["status", "site"], &["site"]];
    const COLLECTION: Collection = Collection::new("sites", "site", &[TRIAL, is("site"), STATUS], &[Sort::by("site")]);
    const AREA: Area = Area::Conduct;
    const SCOPE: Scope =
        Scope { trial: Some(Place::Column("trial_id")), site: Some(Place::Key), ..Scope::INSTALLATION };
}

impl View for Sites {
    const OF: StreamType = StreamType::Site;

    fn fold(document: Option<Site>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Site> {
        let AnyEvent::Site(event) = event else { return document };
        match event {
            SiteEvent::SiteRegistered(registered) => Some(Site {
                site_id: SiteId::from(envelope.stream.id),
                trial_id: registered.trial_id,
                site: registered.code.clone(),
                name: registered.name.clone(),
                country: registered.country.clone(),
                time_zone: registered.time_zone,
                status: SiteStatus::Registered,
                enrolment_cap: None,
                investigator: None,
            }),
            SiteEvent::SiteActivated(activated) => document.map(|document| Site {
                status: SiteStatus::Active,
                enrolment_cap: Some(activated.enrolment_cap),
                investigator: Some(activated.investigator.clone()),
                ..document
            }),
            SiteEvent::SiteSuspended(_) => document.map(|document| Site { status: SiteStatus::Suspended, ..document }),
        }
    }
}
