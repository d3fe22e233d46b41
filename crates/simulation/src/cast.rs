//! Who takes part and what happens to them: made up from the seed alone.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use client::CommandRequest;
use domain::When;
use domain::consent::{PresentConsentForm, SignConsent};
use domain::epro::instruments::Instrument;
use domain::patient::{RecordObservation, RegisterPatient};
use domain::site::{ActivateSite, RegisterSite};
use domain::trial::{
    AddArm, DefineEligibility, DefineQuestionnaire, OpenEnrolment, PublishConsentForm, QuestionnaireSource,
    RegisterTrial,
};
use events::TimeZone;
use events::consent::Signer;
use events::ids::{PatientId, SiteId, SubjectId, TrialId, derive_id};
use events::patient::Sex;
use events::trial::{
    Blinding, Comparison, Criterion, CriterionCategory, CriterionTest, EnrolmentMode, ObservationValue,
};
use events::values::{PartialDate, Personal, Quantity};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::accounts::Scene;
use super::story::Story;

/// SHA-256 of the made-up consent form.
const FORM_SHA256: &str = "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea";
const FORM_VERSION: &str = "1.0";
const LANGUAGE: &str = "en";
/// Days over which patients come.
const RECRUITMENT_DAYS: u64 = 180;
/// Days after its start on which the trial is over for everybody: recruitment, randomisation, visits, the end.
pub const LENGTH_DAYS: u64 = RECRUITMENT_DAYS + 10 + 112 + 4;

/// Everything that happens, from the seed.
pub struct Cast {
    /// The trial's protocol number.
    pub protocol: String,
    /// The trial.
    pub trial_id: TrialId,
    /// Number of patients.
    pub subjects: u32,
    seed: u64,
    start: NaiveDate,
    sites: Vec<SiteId>,
}

/// What happens to one patient.
pub struct Part {
    /// The patient.
    pub patient_id: PatientId,
    /// The subject that the patient becomes.
    pub subject_id: SubjectId,
    /// The patient's number in the trial.
    pub number: u32,
    /// The site that the patient comes to.
    pub site_id: SiteId,
    /// The trial.
    pub trial_id: TrialId,
    /// The site's code.
    pub site_code: String,
    /// Up to the signed consent; the rest of enrolment is the process manager's.
    pub beginning: Vec<CommandRequest>,
    /// If the subject is enrolled.
    pub course: Vec<CommandRequest>,
    /// Alerts that the course raises.
    pub alerts: usize,
}

impl Part {
    /// Who is at hand where something is done to this patient.
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            trial_id: self.trial_id,
            site: Some((self.site_id, &self.site_code)),
            participant: Some((self.patient_id, self.number)),
        }
    }
}

/// How somebody's participation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Completes,
    Withdraws,
    Discontinues(&'static str),
}

impl Cast {
    /// The trial of this seed and size.
    pub fn new(seed: u64, protocol: String, subjects: u32, sites: u32, start: NaiveDate) -> Self {
        let name = protocol.as_bytes();
        let trial_id = TrialId::from(derive_id("simulated-trial", &[name]));
        let site = |number: u32| SiteId::from(derive_id("simulated-site", &[name, &number.to_be_bytes()]));
        Self { trial_id, subjects, seed, start, sites: (0..sites).map(site).collect(), protocol }
    }

    /// The site with this id, and its code.
    pub fn site_of(&self, site_id: &str) -> Option<(SiteId, String)> {
        let index = self.sites.iter().position(|site| site.to_string() == site_id)?;
        Some((self.sites[index], site_code(index)))
    }

    /// The commands that set the trial up.
    pub fn setting(&self) -> Vec<CommandRequest> {
        let at = When::at(time(self.start, 8));
        let trial = self.trial_id;
        let mut commands = vec![CommandRequest::new(
            trial,
            &RegisterTrial {
                protocol: self.protocol.clone(),
                title: "A simulated trial of pain and mood".to_owned(),
                phase: Some("PHASE III TRIAL".to_owned()),
                blinding: Blinding::DoubleBlind,
                planned_enrolment: self.subjects,
                enrolment_mode: EnrolmentMode::Automatic,
                occurred_at: at,
            },
        )];
        for (code, name) in [("PBO", "Placebo"), ("ACT", "Active treatment")] {
            let (code, name) = (code.to_owned(), name.to_owned());
            commands.push(CommandRequest::new(trial, &AddArm { code, name, allocation_weight: 1, occurred_at: at }));
        }
        commands.push(CommandRequest::new(trial, &DefineEligibility { criteria: criteria(), occurred_at: at }));
        let form = PublishConsentForm {
            form_version: FORM_VERSION.to_owned(),
            language: LANGUAGE.to_owned(),
            text_sha256: FORM_SHA256.to_owned(),
            effective_on: self.start,
            occurred_at: at,
        };
        commands.push(CommandRequest::new(trial, &form));
        for instrument in [Instrument::Phq9, Instrument::PainNrs] {
            let questionnaire = QuestionnaireSource::Instrument(instrument);
            commands.push(CommandRequest::new(trial, &DefineQuestionnaire { questionnaire, occurred_at: at }));
        }
        for (index, site_id) in self.sites.iter().enumerate() {
            let code = site_code(index);
            let register = RegisterSite {
                trial_id: trial,
                name: format!("Hospital {code}"),
                code: code.clone(),
                country: None,
                time_zone: TimeZone::UTC,
                occurred_at: at,
            };
            let activate = ActivateSite {
                enrolment_cap: self.subjects,
                investigator: format!("investigator-{code}"),
                occurred_at: at,
            };
            commands.push(CommandRequest::new(*site_id, &register));
            commands.push(CommandRequest::new(*site_id, &activate));
        }
        commands.push(CommandRequest::new(trial, &OpenEnrolment { occurred_at: at }));
        commands
    }

    /// What happens to the patient of this number.
    pub fn part(&self, number: u32) -> Part {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // A stream of its own, so that nobody's life depends on anybody else's.
        random.set_stream(u64::from(number) + 1);
        let patient_id =
            PatientId::from(derive_id("simulated-patient", &[self.protocol.as_bytes(), &number.to_be_bytes()]));
        let subject_id = SubjectId::of(patient_id, self.trial_id);
        // Sites recruit at different speed: the first ones more.
        let speed = random.random::<f64>().powi(2);
        let site = (speed * self.sites.len() as f64) as usize % self.sites.len();
        let (site_id, site_code) = (self.sites[site], site_code(site));
        let came_on = self.start + Days::new(random.random_range(1..RECRUITMENT_DAYS));
        let beginning = self.beginning(&mut random, patient_id, site_id, came_on);
        let randomised_on = came_on + Days::new(random.random_range(3..10));
        let mut story = Story { cast: self, random, patient_id, subject_id, commands: Vec::new(), alerts: 0 };
        story.tell(randomised_on);
        Part {
            trial_id: self.trial_id,
            patient_id,
            subject_id,
            number,
            site_id,
            site_code,
            beginning,
            course: story.commands,
            alerts: story.alerts,
        }
    }

    fn beginning(
        &self,
        random: &mut ChaCha8Rng,
        patient_id: PatientId,
        site_id: SiteId,
        came_on: NaiveDate,
    ) -> Vec<CommandRequest> {
        let at = time(came_on, 9);
        // Some are too young or their pain too mild: screening fails.
        let age = random.random_range(14..85);
        let born = came_on - Days::new(age * 365 + random.random_range(0..365));
        let sex = if random.random_bool(0.55) { Sex::F } else { Sex::M };
        let register = RegisterPatient {
            birth_date: Some(Personal::new(PartialDate::from(born))),
            sex: Some(Personal::new(sex)),
            site_id: Some(site_id),
            occurred_at: When::at(at),
            ..RegisterPatient::default()
        };
        let observe = |code: &str, value: i32, unit: &str| RecordObservation {
            code: code.to_owned(),
            value: ObservationValue::Number(Quantity::from(value)),
            unit: Some(unit.to_owned()),
            observed_at: When::at(at),
        };
        let pain = CommandRequest::new(patient_id, &observe("PAIN-BASELINE", random.random_range(2..=10), "{score}"));
        let pressure = CommandRequest::new(patient_id, &observe("SYSBP", random.random_range(100..175), "mm[Hg]"));
        let present = PresentConsentForm {
            trial_id: self.trial_id,
            site_id,
            form_version: FORM_VERSION.to_owned(),
            language: LANGUAGE.to_owned(),
            occurred_at: When::at(at),
        };
        let sign = SignConsent {
            trial_id: self.trial_id,
            form_version: FORM_VERSION.to_owned(),
            language: LANGUAGE.to_owned(),
            signer: Signer::Participant,
            signed_at: When::at(time(came_on, 10)),
        };
        let mut commands = vec![
            CommandRequest::new(patient_id, &register),
            pressure,
            CommandRequest::new(patient_id, &present),
            CommandRequest::new(patient_id, &sign),
        ];
        // For some the baseline comes late: the process manager waits for it.
        let place = if random.random_bool(0.2) { commands.len() } else { 1 };
        commands.insert(place, pain);
        commands
    }
}

/// The code of the site of this index.
fn site_code(index: usize) -> String {
    format!("{}", 701 + index)
}

/// `hour` o'clock of a day.
pub fn time(day: NaiveDate, hour: u32) -> DateTime<Utc> {
    day.and_time(NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default()).and_utc()
}

fn criteria() -> Vec<Criterion> {
    let criterion =
        |code: &str, text: &str, category, observed: &str, operator, value: i32, unit: Option<&str>| Criterion {
            code: code.to_owned(),
            text: text.to_owned(),
            category,
            test: CriterionTest::Observation {
                code: observed.to_owned(),
                operator,
                value: ObservationValue::Number(Quantity::from(value)),
                unit: unit.map(str::to_owned),
            },
        };
    let (inclusion, exclusion) = (CriterionCategory::Inclusion, CriterionCategory::Exclusion);
    vec![
        criterion("INCL01", "At least 18 years old", inclusion, "AGE", Comparison::AtLeast, 18, Some("a")),
        criterion("INCL02", "Pain of at least 4 at baseline", inclusion, "PAIN-BASELINE", Comparison::AtLeast, 4, None),
        criterion(
            "EXCL01",
            "Systolic blood pressure over 170",
            exclusion,
            "SYSBP",
            Comparison::GreaterThan,
            170,
            Some("mm[Hg]"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_trial() {
        let start = NaiveDate::from_ymd_opt(2024, 1, 8).expect("a day");
        let cast = |seed| Cast::new(seed, "SIM".to_owned(), 20, 3, start);
        let story = |seed| -> Vec<CommandRequest> {
            let cast = cast(seed);
            (0..20).flat_map(|number| cast.part(number).course).collect()
        };
        assert_eq!(story(1), story(1));
        assert_ne!(story(1), story(2));
        assert_eq!(cast(1).setting(), cast(1).setting());
    }

    #[test]
    fn sizes_do_not_change_a_life() {
        let start = NaiveDate::from_ymd_opt(2024, 1, 8).expect("a day");
        let few = Cast::new(7, "SIM".to_owned(), 5, 3, start);
        let many = Cast::new(7, "SIM".to_owned(), 500, 3, start);
        assert_eq!(few.part(4).course, many.part(4).course);
    }
}
