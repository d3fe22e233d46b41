//! Alerts out of a report, told to everybody; one that nobody acknowledges in time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;

use super::{Count, Course};
use crate::clinic::{Clinic, subject};

const PATIENT: u128 = 0x301;
const REPORT: u128 = 0x30;

pub struct Alert;

#[async_trait]
impl Course for Alert {
    const PROCESS: &'static str = "alert";
    const PHASES: usize = 3;
    const BEHIND: usize = 2;

    async fn play(clinic: &Clinic, phase: usize) {
        match phase {
            0 => {
                clinic.open_trial().await;
                clinic.sign(PATIENT, Some(40)).await;
                clinic.enrol(PATIENT).await;
            }
            1 => {
                let answers: BTreeMap<String, u8> = (1..=9).map(|item| (format!("PHQ010{item}"), 3)).collect();
                let report = json!({"subject_id": subject(PATIENT), "instrument": "PHQ-9", "answers": answers});
                clinic.send("SubmitReport", REPORT, report).await;
            }
            _ => clinic.overdue_alert(PATIENT).await,
        }
    }

    fn check(count: &Count) {
        assert_eq!((count.of("AlertRaised"), count.of("AlertEscalated")), (3, 1), "{count:?}");
        // Three alerts, one escalation to two roles.
        assert_eq!((count.of("NotificationRequested"), count.of("StepDeadLettered")), (5, 0), "{count:?}");
    }
}
