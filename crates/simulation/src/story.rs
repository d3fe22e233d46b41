//! What a subject lives through: visits, reports, adverse events, and how it ends.

use chrono::{Days, NaiveDate};
use client::CommandRequest;
use domain::When;
use domain::consent::WithdrawConsent;
use domain::enrolment::subject::{CompleteSubject, DiscontinueSubject, RandomiseSubject};
use domain::epro::report::SubmitReport;
use domain::safety::adverse_event::ReportAdverseEvent;
use domain::visit::RecordVisit;
use events::TimeZone;
use events::consent::WithdrawalScope;
use events::ids::{AdverseEventId, PatientId, ReportId, SubjectId, VisitId, derive_id};
use events::safety::adverse_event::AdverseEventSeverity;
use events::trial::questionnaire::{Answer, Answers};
use events::values::{PartialDate, Quantity};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::cast::{Cast, Ending, time};

/// Days of a subject's visits after randomisation.
const VISIT_DAYS: [u64; 6] = [0, 14, 28, 56, 84, 112];

/// What one subject lives through after randomisation.
pub struct Story<'cast> {
    pub cast: &'cast Cast,
    pub random: ChaCha8Rng,
    pub patient_id: PatientId,
    pub subject_id: SubjectId,
    pub commands: Vec<CommandRequest>,
    pub alerts: usize,
}

impl Story<'_> {
    pub fn tell(&mut self, randomised_on: NaiveDate) {
        let arm = if self.random.random_bool(0.5) { "ACT" } else { "PBO" };
        let randomise = RandomiseSubject { arm: arm.to_owned(), occurred_at: When::at(time(randomised_on, 11)) };
        self.commands.push(CommandRequest::new(self.subject_id, &randomise));
        let (ending, visits) = self.ending();
        let mut pain: f64 = self.random.random_range(4.0..8.5);
        let mut mood: f64 = self.random.random_range(0.2..2.0);
        // Treatment helps; time helps a little, too.
        let slope = if arm == "ACT" { 0.75 } else { 0.25 };
        let mut last = randomised_on;
        for (visit, days) in VISIT_DAYS.iter().enumerate().take(visits) {
            let day = randomised_on + Days::new(*days + u64::from(self.random.random_range(0..3_u32)));
            last = day;
            self.visit(visit, day);
            // Now and then a report is missed.
            if self.random.random_bool(0.93) {
                self.pain_report(visit, day, pain);
            }
            if self.random.random_bool(0.90) {
                self.mood_report(visit, day, mood);
            }
            if self.random.random_bool(0.18) {
                self.adverse_event(visit, day);
            }
            pain = (pain - slope + self.random.random_range(-1.2..1.2)).clamp(0.0, 10.0);
            mood = (mood - slope * 0.2 + self.random.random_range(-0.4..0.45)).clamp(0.0, 3.0);
        }
        self.end(ending, last + Days::new(1));
    }

    fn ending(&mut self) -> (Ending, usize) {
        let all = VISIT_DAYS.len();
        let early = self.random.random_range(1..all);
        match self.random.random_range(0..100) {
            0..4 => (Ending::Withdraws, early),
            4..9 => (Ending::Discontinues("ADVERSE EVENT"), early),
            9..13 => (Ending::Discontinues("LOST TO FOLLOW-UP"), early),
            13..16 => (Ending::Discontinues("PHYSICIAN DECISION"), early),
            _ => (Ending::Completes, all),
        }
    }

    fn end(&mut self, ending: Ending, day: NaiveDate) {
        let at = When::at(time(day, 15));
        self.commands.push(match ending {
            Ending::Completes => CommandRequest::new(self.subject_id, &CompleteSubject { occurred_at: at }),
            Ending::Discontinues(reason) => {
                let discontinue = DiscontinueSubject {
                    reason: reason.to_owned(),
                    detail: None,
                    unless_consented: false,
                    occurred_at: at,
                };
                CommandRequest::new(self.subject_id, &discontinue)
            }
            Ending::Withdraws => {
                let withdraw = WithdrawConsent {
                    trial_id: self.cast.trial_id,
                    scope: WithdrawalScope::FurtherData,
                    reason: None,
                    withdrawn_at: at,
                    historical: false,
                };
                CommandRequest::new(self.patient_id, &withdraw)
            }
        });
    }

    fn id(&self, kind: &str, visit: usize) -> Uuid {
        derive_id(kind, &[self.subject_id.uuid().as_bytes(), &(visit as u64).to_be_bytes()])
    }

    fn visit(&mut self, visit: usize, day: NaiveDate) {
        let record = RecordVisit {
            subject_id: self.subject_id,
            visit: visit_name(visit),
            visit_number: i32::try_from(visit + 1).ok().map(Quantity::from),
            attended_on: PartialDate::from(day),
            occurred_at: When::at(time(day, 12)),
        };
        self.commands.push(CommandRequest::new(VisitId::from(self.id("simulated-visit", visit)), &record));
    }

    fn pain_report(&mut self, visit: usize, day: NaiveDate, pain: f64) {
        let answer = pain.round() as i32;
        self.alerts += usize::from(answer >= 7);
        let answers = Answers::from([("PAIN".to_owned(), Answer::Number(Quantity::from(answer)))]);
        self.report("PAIN-NRS", "simulated-pain", visit, day, answers);
    }

    fn mood_report(&mut self, visit: usize, day: NaiveDate, mood: f64) {
        let mut total = 0;
        let mut answers = Answers::new();
        for item in 1..=9 {
            // Thoughts of self-harm are rare.
            let level = if item == 9 { mood - 2.2 } else { mood + self.random.random_range(-0.8..0.8) };
            let answer = level.round().clamp(0.0, 3.0) as i32;
            total += answer;
            self.alerts += usize::from(item == 9 && answer >= 1);
            answers.insert(format!("PHQ010{item}"), Answer::Number(Quantity::from(answer)));
        }
        self.alerts += usize::from(total >= 20);
        self.report("PHQ-9", "simulated-mood", visit, day, answers);
    }

    fn report(&mut self, instrument: &str, kind: &str, visit: usize, day: NaiveDate, answers: Answers) {
        let submit = SubmitReport {
            subject_id: self.subject_id,
            instrument: instrument.to_owned(),
            questionnaire_version: None,
            answers,
            started_at: When::at(time(day, 18)),
            completed_at: When::at(time(day, 19)),
            time_zone: Some(TimeZone::UTC),
            device: Some("simulated-telephone".to_owned()),
            visit: Some(visit_name(visit)),
            historical: false,
        };
        self.commands.push(CommandRequest::new(ReportId::from(self.id(kind, visit)), &submit));
    }

    fn adverse_event(&mut self, visit: usize, day: NaiveDate) {
        let terms = ["HEADACHE", "NAUSEA", "DIZZINESS", "FATIGUE", "RASH", "INSOMNIA"];
        let severity = match self.random.random_range(0..10) {
            0..6 => AdverseEventSeverity::Mild,
            6..9 => AdverseEventSeverity::Moderate,
            _ => AdverseEventSeverity::Severe,
        };
        let serious = severity == AdverseEventSeverity::Severe && self.random.random_bool(0.5);
        self.alerts += usize::from(serious);
        let report = ReportAdverseEvent {
            subject_id: self.subject_id,
            term: terms[self.random.random_range(0..terms.len())].to_owned(),
            reported_term: None,
            severity,
            ctcae_grade: None,
            serious,
            relatedness: Some("POSSIBLE".to_owned()),
            onset: Some(PartialDate::from(day)),
            ended: None,
            outcome: None,
            historical: false,
            occurred_at: When::at(time(day, 13)),
        };
        let id = AdverseEventId::from(self.id("simulated-adverse-event", visit));
        self.commands.push(CommandRequest::new(id, &report));
    }
}

fn visit_name(visit: usize) -> String {
    match visit {
        0 => "BASELINE".to_owned(),
        visit => format!("WEEK {}", VISIT_DAYS[visit] / 7),
    }
}
