//! Withdrawn by a subject, by somebody who was never screened, and with a subject that had gone on meanwhile.

use async_trait::async_trait;
use event_store::clock;
use serde_json::json;

use super::{Count, Course};
use crate::clinic::{Clinic, trial};

const ENROLLED: u128 = 0x201;
const NEVER_SCREENED: u128 = 0x202;
const GONE_ON: u128 = 0x203;

pub struct Withdrawal;

#[async_trait]
impl Course for Withdrawal {
    const PROCESS: &'static str = "withdrawal";
    const PHASES: usize = 3;
    const BEHIND: usize = 2;

    async fn play(clinic: &Clinic, phase: usize) {
        let withdraw = |at| json!({"trial_id": trial(), "scope": "further-data", "withdrawn_at": at});
        match phase {
            0 => {
                clinic.open_trial().await;
                clinic.sign(ENROLLED, Some(40)).await;
                clinic.enrol(ENROLLED).await;
                clinic.sign(NEVER_SCREENED, Some(40)).await;
                clinic.sign(GONE_ON, Some(40)).await;
            }
            1 => {
                clinic.send("WithdrawConsent", ENROLLED, withdraw(None)).await;
                clinic.send("WithdrawConsent", NEVER_SCREENED, withdraw(None)).await;
            }
            _ => {
                // The withdrawal is recorded late: the patient was screened after it.
                let withdrawn_at = clock::now();
                clinic.screen(GONE_ON, None).await;
                clinic.send("WithdrawConsent", GONE_ON, withdraw(Some(withdrawn_at))).await;
            }
        }
    }

    fn check(count: &Count) {
        assert_eq!((count.of("ConsentWithdrawn"), count.of("NotificationRequested")), (3, 3), "{count:?}");
        assert_eq!((count.of("SubjectDiscontinued"), count.of("PlaceReleased")), (2, 1), "{count:?}");
        assert_eq!(count.of("StepDeadLettered"), 0, "{count:?}");
    }
}
