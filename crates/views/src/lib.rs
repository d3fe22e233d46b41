//! The views: what is known now, folded from the events. `ls src` tells which there are.
//!
//! One folder per context, with the same names as in `events` and `domain`; one file per
//! view with its document, its fold, its columns, the access paths that get an index, and
//! how it is listed. From these come the tables of both engines, the lists with their
//! filters and orders, and the schemas of the answers.
//!
//! This crate is pure: it knows no clock, no I/O and no database, so that a view is
//! tested in milliseconds. A view is never a cause: filling or rebuilding one sends
//! nothing and changes nothing else.

mod column;
#[rustfmt::skip]
mod declared;
mod table;
mod view;

/// What a view is written with.
pub mod prelude {
    pub use authority::Area;
    pub use chrono::{DateTime, NaiveDate, Utc};
    pub use events::envelope::Envelope;
    pub use events::ids::*;
    pub use events::registry::AnyEvent;
    pub use events::values::{Blinded, PartialDate, Personal, Prose, Quantity};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    pub use crate::column::*;
    pub use crate::table::*;
    pub use crate::view::View;
}

/// Who acts, what they may do, and what they tried.
pub mod access {
    pub mod accounts;
    pub mod audit_access;
    pub mod grants;
    pub mod incidents;
}
/// The consent of patients.
pub mod consent {
    pub mod consents;
}
/// Who takes part.
pub mod enrolment {
    pub mod subjects;
}
/// What patients report.
pub mod epro {
    pub mod reports;
}
/// What everybody may read.
pub mod knowledge {
    pub mod articles;
}
/// Messages to people.
pub mod messaging {
    pub mod messages;
    pub mod notifications;
}
/// What keeps the system itself running.
pub mod operation {
    pub mod dead_letters;
    pub mod process_managers;
}
/// Patients, across trials.
pub mod patient {
    pub mod patients;
}
/// Wearables and what they measure.
pub mod readings {
    pub mod devices;
    pub mod readings_apart;
    pub mod readings_daily;
}
/// The safety of patients.
pub mod safety {
    pub mod adverse_events;
    pub mod alerts;
}
/// Sites.
pub mod site {
    pub mod sites;
}
/// Trials as a whole.
pub mod trial {
    pub mod protocols;
    pub mod trial_enrolment;
}
/// Visits.
pub mod visit {
    pub mod visits;
}

/// Where the documents of a view hold treatment allocation, which is sealed wherever they are kept.
/// Of one that is not listed here, as tests have, nowhere.
pub fn allocation(view: &str, version: u32) -> events::paths::Paths {
    let declared = declared::ALLOCATIONS.iter().find(|(name, of, _)| *name == view && *of == version);
    declared.map_or(&[], |(_, _, paths)| *paths)
}

pub use column::{Column, name_of as column_name, searched};
pub use table::{Collection, Comparison, DynTable, Filter, Place, Scope, Sort, Table};
pub use view::{Changes, DynView, Erased, Standing, Touched, View, ViewFault};

/// Every view that is folded from the log, by context.
pub static ALL: &[&dyn DynView] = &[
    // tidy: sorted
    &Erased::<access::accounts::Accounts>::new(),
    &Erased::<access::audit_access::AuditAccess>::new(),
    &Erased::<access::grants::Grants>::new(),
    &Erased::<access::incidents::Incidents>::new(),
    &Erased::<consent::consents::Consents>::new(),
    &Erased::<enrolment::subjects::Subjects>::new(),
    &Erased::<epro::reports::Reports>::new(),
    &Erased::<knowledge::articles::Articles>::new(),
    &Erased::<messaging::messages::Messages>::new(),
    &Erased::<messaging::notifications::Notifications>::new(),
    &Erased::<operation::dead_letters::DeadLetters>::new(),
    &Erased::<patient::patients::Patients>::new(),
    &Erased::<readings::devices::Devices>::new(),
    &Erased::<readings::readings_apart::ReadingsApart>::new(),
    &Erased::<readings::readings_daily::ReadingsDaily>::new(),
    &Erased::<safety::adverse_events::AdverseEvents>::new(),
    &Erased::<safety::alerts::Alerts>::new(),
    &Erased::<site::sites::Sites>::new(),
    &Erased::<trial::protocols::Protocols>::new(),
    &Erased::<trial::trial_enrolment::TrialEnrolment>::new(),
    &Erased::<visit::visits::Visits>::new(),
    // tidy: end
];

/// The instances of process managers: written by whoever runs these, not folded by a projector.
pub static PROCESS_MANAGERS: &dyn DynTable = &Erased::<operation::process_managers::ProcessManagers>::new();

/// Everything that is listed.
pub fn tables() -> impl Iterator<Item = &'static dyn DynTable> {
    ALL.iter().map(|view| *view as &dyn DynTable).chain([PROCESS_MANAGERS])
}

#[cfg(test)]
mod tests {
    use super::{declared, tables};

    #[test]
    fn documents_of_every_view_are_declared() {
        for table in tables() {
            let schema = table.schema();
            let is_this = |(name, version, _): &&(&str, u32, _)| (*name, *version) == (schema.name, schema.version);
            assert!(
                declared::ALLOCATIONS.iter().any(|declared| is_this(&declared)),
                "{}: run `cargo xtask codegen`",
                schema.name
            );
        }
    }
}
