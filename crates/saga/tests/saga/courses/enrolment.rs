//! Enrolled, without a place, too young, of unknown age, and a site that is suspended meanwhile.

use async_trait::async_trait;
use serde_json::json;

use super::{Count, Course};
use crate::clinic::{Clinic, SITE, trial};

const ENROLLED: u128 = 0x101;
const WITHOUT_PLACE: u128 = 0x102;
const TOO_YOUNG: u128 = 0x103;
const OF_UNKNOWN_AGE: u128 = 0x104;
const SIGNED_TOO_LATE: u128 = 0x105;

pub struct Enrolment;

#[async_trait]
impl Course for Enrolment {
    const PROCESS: &'static str = "enrolment";
    const PHASES: usize = 4;
    const BEHIND: usize = 3;

    async fn play(clinic: &Clinic, phase: usize) {
        match phase {
            0 => {
                clinic.open_trial().await;
                clinic.sign(ENROLLED, Some(40)).await;
                clinic.sign(TOO_YOUNG, Some(12)).await;
                clinic.sign(OF_UNKNOWN_AGE, None).await;
            }
            1 => {
                clinic.sign(WITHOUT_PLACE, Some(40)).await;
                clinic.send("RecordObservation", OF_UNKNOWN_AGE, json!({"code": "AGE", "value": 50})).await;
            }
            2 => {
                let withdraw = json!({"trial_id": trial(), "scope": "further-data"});
                clinic.send("WithdrawConsent", ENROLLED, withdraw).await;
            }
            _ => {
                // The site is suspended between the signature and what follows from it.
                clinic.sign(SIGNED_TOO_LATE, Some(40)).await;
                clinic.send("SuspendSite", SITE, json!({"reason": "Audit"})).await;
            }
        }
    }

    fn check(count: &Count) {
        assert_eq!((count.of("PatientScreened"), count.of("SubjectEnrolled")), (4, 1), "{count:?}");
        assert_eq!((count.of("ScreeningFailed"), count.of("EligibilityRecorded")), (3, 5), "{count:?}");
        // The enrolment that is on hold.
        assert_eq!((count.of("NotificationRequested"), count.of("StepDeadLettered")), (1, 0), "{count:?}");
    }
}
