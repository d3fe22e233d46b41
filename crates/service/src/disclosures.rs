//! To whom disclosures are told: that somebody is shown who a person is, before they are.

use events::access::disclosure::DisclosureKind;
use events::envelope::Actor;
use events::ids::PatientId;
use futures::future::BoxFuture;

use crate::problem::Problem;

/// Something about a person that somebody is shown.
#[derive(Clone, Debug)]
pub struct Disclosure {
    /// To whom, in the role by which they are.
    pub actor: Actor,
    /// About whom.
    pub patient_id: PatientId,
    /// What.
    pub kind: DisclosureKind,
    /// Whether personal data are in it as they are.
    pub unmasked: bool,
    /// What for.
    pub purpose: Option<String>,
    /// The network address from which it is asked.
    pub address: Option<String>,
}

/// Records disclosures.
pub trait Register: Send + Sync {
    /// Records one; what it is of is shown only where that succeeds.
    fn record(&self, disclosure: Disclosure) -> BoxFuture<'_, Result<(), Problem>>;
}
