//! A device that has been silent for longer than every rule permits, and one that is taken back.

use async_trait::async_trait;
use chrono::TimeDelta;
use event_store::clock;
use events::ids::{DeviceId, StreamKey as _};
use serde_json::json;

use super::{Count, Course};
use crate::clinic::{Clinic, subject, trial_id};

const PATIENT: u128 = 0x501;
/// Hours of silence, each of a rule of its own.
const HOURS: [u32; 5] = [1, 2, 3, 5, 8];

pub struct Silence;

#[async_trait]
impl Course for Silence {
    const PROCESS: &'static str = "silence";
    const PHASES: usize = 3;
    const BEHIND: usize = 2;

    async fn play(clinic: &Clinic, phase: usize) {
        let wearer = subject(PATIENT).uuid().as_u128();
        match phase {
            0 => {
                clinic.open_trial().await;
                let rule = |hours: u32| {
                    json!({"code": format!("silent-{hours}"), "test": {"kind": "silence", "hours": hours},
                        "severity": "medium", "recipients": ["coordinator"], "acknowledge_within_minutes": 600})
                };
                let rules = HOURS.map(rule);
                clinic.send("DefineReadingRules", trial_id().uuid().as_u128(), json!({"rules": rules})).await;
                clinic.sign_at(PATIENT, clock::now() - TimeDelta::days(3)).await;
                clinic.screen(PATIENT, None).await;
            }
            1 => {
                let from = clock::now() - TimeDelta::days(1);
                clinic.send("AssignDevice", wearer, json!({"device": "W-1", "from": from})).await;
            }
            _ => {
                let device = DeviceId::of(trial_id(), "W-1").stream().id.as_u128();
                clinic.send("ReturnDevice", device, json!({})).await;
                // Silent for less than every rule permits.
                clinic.send("AssignDevice", wearer, json!({"device": "W-2"})).await;
            }
        }
    }

    fn check(count: &Count) {
        assert_eq!((count.of("AlertRaised"), count.of("DeviceAssigned")), (HOURS.len(), 2), "{count:?}");
        assert_eq!(count.of("StepDeadLettered"), 0, "{count:?}");
    }
}
