//! Who holds which role where: each grant by itself, so that those who hold one are found.

use events::access::Duty;
use events::access::account::{AccountEvent, Scope as Within};
use events::envelope::Role;
use uuid::Uuid;

use crate::prelude::*;

/// The view.
pub struct Grants;

/// A role that an account holds; one that was revoked is not there any more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    grant_id: Uuid,
    account_id: AccountId,
    role: Role,
    scope: Within,
    /// The duties that were delegated, where these are not all of the role's.
    duties: Option<Vec<Duty>>,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    /// Who granted it.
    granted_by: String,
    granted_at: DateTime<Utc>,
}

impl Table for Grants {
    type Document = Grant;
    const NAME: &'static str = "grants";
    const COLUMNS: &'static [Column<Grant>] = &[
        text("role", |grant| name_of(&grant.role)),
        text("held", |grant| grant.held().to_owned().into()),
        uuid("account_id", |grant| grant.account_id.uuid().into()),
        uuid("trial_id", |grant| grant.trial().map(Into::into)),
        uuid("site_id", |grant| grant.site().map(Into::into)),
        uuid("patient_id", |grant| grant.patient().map(Into::into)),
        time("granted_at", |grant| grant.granted_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["role", "held"],
        &["role", "trial_id", "held"],
        &["role", "site_id"],
        &["role", "patient_id"],
        &["role", "granted_at"],
        &["held", "granted_at"],
        &["account_id", "granted_at"],
        &["trial_id", "granted_at"],
        &["site_id", "granted_at"],
        &["patient_id", "granted_at"],
        &["granted_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "grants",
        "grant",
        &[
            is("role"),
            is("held").meaning("Where it is held: `installation`, `trial`, `site` or `patient`"),
            is("account_id").meaning("Of which account"),
            TRIAL,
            SITE,
            PATIENT,
        ],
        &[Sort::by_greatest("granted_at")],
    );
    const AREA: Area = Area::Access;
    const SCOPE: Scope = Scope::INSTALLATION;
}

impl Grant {
    const fn held(&self) -> &'static str {
        match self.scope {
            Within::Installation => "installation",
            Within::Trial { .. } => "trial",
            Within::Site { .. } => "site",
            Within::Patient { .. } => "patient",
        }
    }

    const fn trial(&self) -> Option<TrialId> {
        match self.scope {
            Within::Trial { trial_id } | Within::Site { trial_id, .. } => Some(trial_id),
            Within::Installation | Within::Patient { .. } => None,
        }
    }

    const fn site(&self) -> Option<SiteId> {
        match self.scope {
            Within::Site { site_id, .. } => Some(site_id),
            Within::Installation | Within::Trial { .. } | Within::Patient { .. } => None,
        }
    }

    const fn patient(&self) -> Option<PatientId> {
        match self.scope {
            Within::Patient { patient_id } => Some(patient_id),
            Within::Installation | Within::Trial { .. } | Within::Site { .. } => None,
        }
    }
}

impl View for Grants {
    const OF: StreamType = StreamType::Account;

    fn keys(event: &AnyEvent, _envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Account(AccountEvent::RoleGranted(granted)) => vec![granted.grant_id.to_string()],
            AnyEvent::Account(AccountEvent::RoleRevoked(revoked)) => vec![revoked.grant_id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Grant>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Grant> {
        match event {
            AnyEvent::Account(AccountEvent::RoleGranted(granted)) => Some(Grant {
                grant_id: granted.grant_id,
                account_id: AccountId::from(envelope.stream.id),
                role: granted.role,
                scope: granted.scope,
                duties: granted.duties.clone(),
                from: granted.from,
                until: granted.until,
                granted_by: envelope.actor.id.clone(),
                granted_at: envelope.occurred_at,
            }),
            AnyEvent::Account(AccountEvent::RoleRevoked(_)) => None,
            _ => document,
        }
    }
}
