//! What can be listed, and by what.

/// A collection that is a view.
pub struct Resource {
    /// The collection in the address, such as `adverse-events`.
    pub collection: &'static str,
    /// The view that holds it.
    pub view: &'static str,
    /// What one document is.
    pub summary: &'static str,
    /// Parameters that filter by a column.
    pub filters: &'static [Filter],
    /// Columns that can be sorted by.
    pub sorts: &'static [&'static str],
}

/// A parameter that filters.
pub struct Filter {
    /// The parameter's name.
    pub parameter: &'static str,
    /// The column.
    pub column: &'static str,
    /// What the parameter holds.
    pub kind: Kind,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A UUID.
    Uuid,
    /// True or false.
    Boolean,
    /// A time: at that time or later.
    Since,
    /// A time: at that time or earlier.
    Until,
}

const fn filter(parameter: &'static str, column: &'static str, kind: Kind) -> Filter {
    Filter { parameter, column, kind }
}

const TRIAL: Filter = filter("trial", "trial_id", Kind::Uuid);
const SITE: Filter = filter("site", "site_id", Kind::Uuid);
const PATIENT: Filter = filter("patient", "patient_id", Kind::Uuid);
const SUBJECT: Filter = filter("subject", "subject_id", Kind::Uuid);
const STATUS: Filter = filter("status", "status", Kind::Text);

/// Everything that can be listed.
pub static RESOURCES: &[Resource] = &[
    Resource {
        collection: "trials",
        view: "trial_enrolment",
        summary: "trial",
        filters: &[filter("protocol", "protocol", Kind::Text), STATUS],
        sorts: &["protocol", "registered_at", "enrolled"],
    },
    Resource {
        collection: "sites",
        view: "sites",
        summary: "site",
        filters: &[TRIAL, filter("site", "site", Kind::Text), STATUS],
        sorts: &["site"],
    },
    Resource {
        collection: "patients",
        view: "patients",
        summary: "patient, masked",
        filters: &[filter("since", "registered_at", Kind::Since), filter("until", "registered_at", Kind::Until)],
        sorts: &["registered_at"],
    },
    Resource {
        collection: "consents",
        view: "consents",
        summary: "consent",
        filters: &[TRIAL, SITE, PATIENT, STATUS],
        sorts: &["signed_at"],
    },
    Resource {
        collection: "subjects",
        view: "subjects",
        summary: "subject",
        filters: &[TRIAL, SITE, PATIENT, STATUS, filter("number", "subject_number", Kind::Text)],
        sorts: &["subject_number", "screened_at"],
    },
    Resource {
        collection: "reports",
        view: "reports",
        summary: "report",
        filters: &[
            TRIAL,
            SITE,
            PATIENT,
            SUBJECT,
            filter("instrument", "instrument", Kind::Text),
            filter("since", "completed_at", Kind::Since),
            filter("until", "completed_at", Kind::Until),
        ],
        sorts: &["completed_at"],
    },
    Resource {
        collection: "adverse-events",
        view: "adverse_events",
        summary: "adverse event",
        filters: &[
            TRIAL,
            SITE,
            PATIENT,
            SUBJECT,
            filter("severity", "severity", Kind::Text),
            filter("serious", "serious", Kind::Boolean),
        ],
        sorts: &["reported_at"],
    },
    Resource {
        collection: "visits",
        view: "visits",
        summary: "visit",
        filters: &[TRIAL, SITE, PATIENT, SUBJECT],
        sorts: &["attended_on"],
    },
    Resource {
        collection: "alerts",
        view: "alerts",
        summary: "alert",
        filters: &[TRIAL, SITE, PATIENT, STATUS, filter("severity", "severity", Kind::Text)],
        sorts: &["raised_at", "severity_rank"],
    },
    Resource {
        collection: "sagas",
        view: "sagas",
        summary: "instance of a process manager",
        filters: &[filter("saga", "saga", Kind::Text), STATUS, TRIAL, PATIENT],
        sorts: &["waiting_since"],
    },
    Resource {
        collection: "dead-letters",
        view: "dead_letters",
        summary: "step that waits for an operator",
        filters: &[filter("saga", "saga", Kind::Text), STATUS],
        sorts: &["failed_at"],
    },
];
