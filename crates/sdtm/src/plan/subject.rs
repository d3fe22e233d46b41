//! One subject: from registration to the end of participation, in an order that the rules allow.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use decider::Command;
use domain::When;
use domain::commands::AnyCommand;
use domain::consent::{PresentConsentForm, SignConsent};
use domain::enrolment::subject::ScreenPatient;
use domain::patient::{RecordObservation, RegisterPatient};
use events::consent::Signer;
use events::patient::Sex;
use events::trial::ObservationValue;
use events::values::Personal;

use super::super::accounts::{Accounts, RowId};
use super::super::dates::SdtmDate;
use super::super::numbers::SdtmNumber;
use super::super::rows::{Demographics, Text};
use super::super::study::SubjectRows;
use super::{CONSENT_FORM_LANGUAGE, CONSENT_FORM_VERSION, Frame, Step, SubjectPlan, course};

/// Where a step stands among those of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Somebody came.
    Visit,
    /// A questionnaire was filled in.
    Report,
    /// Criteria were looked at.
    Eligibility,
    /// Somebody was enrolled, or not.
    Enrolment,
    /// Somebody was allocated.
    Randomisation,
    /// Something befell somebody.
    AdverseEvent,
    /// Participation ended.
    End,
    /// Consent was withdrawn.
    Withdrawal,
}

/// Plans a subject.
pub fn plan_subject(frame: &Frame, rows: SubjectRows, accounts: &mut Accounts) -> SubjectPlan {
    let subject = rows.demographics.subject.clone();
    match Planner::begin(frame, &rows, accounts) {
        Ok(mut planner) => {
            let SubjectRows { demographics, dispositions, visits, adverse_events, answers, exceptions, measurements } =
                rows;
            planner.intake(&demographics);
            planner.course(&demographics, &dispositions, &exceptions);
            let visit_days = planner.visits(&visits);
            planner.measurements(&measurements);
            planner.adverse_events(&adverse_events);
            planner.forms(answers, &visit_days);
            planner.finish()
        }
        Err(reason) => {
            let consequence = format!("not sent, because the subject at {} is not taken", rows.demographics.at);
            accounts.reject(rows.demographics.at, Some(&subject), reason);
            let others = (rows.dispositions.iter().map(|row| row.at))
                .chain(rows.visits.iter().map(|row| row.at))
                .chain(rows.adverse_events.iter().map(|row| row.at))
                .chain(rows.answers.iter().map(|row| row.at))
                .chain(rows.exceptions.iter().map(|row| row.at))
                .chain(rows.measurements.iter().map(|row| row.at));
            for row in others {
                accounts.reject(row, Some(&subject), consequence.clone());
            }
            SubjectPlan { subject: subject.to_string(), ..SubjectPlan::default() }
        }
    }
}

/// Plans one subject's commands.
pub struct Planner<'plan> {
    /// What all subjects have in common.
    pub frame: &'plan Frame,
    /// The subject.
    pub subject: Text,
    /// When the consent was signed, as far as the export tells.
    pub consent: ConsentDate,
    accounts: &'plan mut Accounts,
    intake: Vec<Step>,
    later: BTreeMap<(DateTime<Utc>, Rank, RowId, usize), Step>,
    rows: BTreeSet<RowId>,
}

/// The date of the consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentDate {
    /// When.
    pub at: DateTime<Utc>,
    /// Whether another date stands for it.
    pub substitute: bool,
}

impl<'plan> Planner<'plan> {
    fn begin(frame: &'plan Frame, rows: &SubjectRows, accounts: &'plan mut Accounts) -> Result<Self, String> {
        let demographics = &rows.demographics;
        demographics.site.as_ref().ok_or("SITEID is empty: no site is named")?;
        let (consent, note) = consent_date(rows)?;
        match note {
            Some(note) if consent.substitute => accounts.pattern(demographics.at, &note),
            Some(note) => accounts.note(demographics.at, Some(&demographics.subject), note),
            None => {}
        }
        Ok(Self {
            frame,
            subject: demographics.subject.clone(),
            consent,
            accounts,
            intake: Vec::new(),
            later: BTreeMap::new(),
            rows: BTreeSet::new(),
        })
    }

    fn finish(self) -> SubjectPlan {
        let steps = self.intake.into_iter().chain(self.later.into_values()).collect();
        SubjectPlan { subject: self.subject.to_string(), steps, rows: self.rows, failures: BTreeMap::new() }
    }

    /// Registration, consent and screening: what everything else needs.
    fn intake(&mut self, demographics: &Demographics) {
        let patient_id = self.frame.patient(&self.subject);
        let (trial_id, at) = (self.frame.trial_id, When::at(self.consent.at));
        let site = demographics.site.clone().unwrap_or_else(|| Text::from(""));
        let row = demographics.at;
        let register = self.registration(demographics);
        self.intake_step(row, patient_id, &register, Some("registered"));
        if let Some(age) = self.age(demographics) {
            self.intake_step(row, patient_id, &age, None);
        }
        let (form_version, language) = (CONSENT_FORM_VERSION.to_owned(), CONSENT_FORM_LANGUAGE.to_owned());
        let present = PresentConsentForm {
            trial_id,
            site_id: self.frame.site(&site),
            form_version: form_version.clone(),
            language: language.clone(),
            occurred_at: at,
        };
        self.intake_step(row, patient_id, &present, Some("shown the consent form"));
        let sign = SignConsent { trial_id, form_version, language, signer: Signer::Participant, signed_at: at };
        self.intake_step(row, patient_id, &sign, Some("taken in by consent"));
        let subject_number = Some(self.subject_number(demographics));
        let screen = ScreenPatient { trial_id, subject_number, occurred_at: at };
        self.intake_step(row, patient_id, &screen, Some("screened"));
    }

    fn registration(&mut self, demographics: &Demographics) -> RegisterPatient {
        let birth_date = self.date(demographics.at, "BRTHDTC", demographics.birth.as_ref()).ok().flatten();
        let sex = demographics.sex.as_ref().and_then(|sex| match sex.to_uppercase().as_str() {
            "F" => Some(Sex::F),
            "M" => Some(Sex::M),
            "U" => Some(Sex::U),
            "UNDIFFERENTIATED" | "INTERSEX" => Some(Sex::Intersex),
            other => {
                self.note(demographics.at, format!("SEX `{other}` is not kept: it is none of F, M, U, INTERSEX"));
                None
            }
        });
        RegisterPatient {
            birth_date: birth_date.map(|birth| Personal::new(birth.date)),
            sex: sex.map(Personal::new),
            occurred_at: When::at(self.consent.at),
            ..RegisterPatient::default()
        }
    }

    /// The age as an observation, which eligibility can look at.
    fn age(&mut self, demographics: &Demographics) -> Option<RecordObservation> {
        let age = demographics.age.as_ref()?;
        let years = demographics.age_unit.as_ref().is_none_or(|unit| unit.eq_ignore_ascii_case("YEARS"));
        let number = SdtmNumber::parse(age).filter(|_| years);
        let Some(number) = number else {
            self.note(demographics.at, "AGE is not kept: it is no number of years");
            return None;
        };
        Some(RecordObservation {
            code: domain::enrolment::eligibility::AGE.to_owned(),
            value: ObservationValue::Number(number.quantity()),
            unit: Some("a".to_owned()),
            observed_at: When::at(self.consent.at),
        })
    }

    /// `SUBJID`; where several subjects have the same one, or none, `USUBJID`.
    fn subject_number(&mut self, demographics: &Demographics) -> String {
        match &demographics.number {
            Some(number) if !self.frame.shared_numbers.contains(number) => number.to_string(),
            Some(number) => {
                let text = format!("SUBJID `{number}` is not unique in the study: USUBJID is the subject number");
                self.note(demographics.at, text);
                self.subject.to_string()
            }
            None => {
                self.note(demographics.at, "SUBJID is empty: USUBJID is the subject number");
                self.subject.to_string()
            }
        }
    }

    fn intake_step<C>(&mut self, row: RowId, target: C::Target, command: &C, gate: Option<&'static str>)
    where
        C: Command + Clone,
        AnyCommand: From<(C::Target, C)>,
    {
        self.rows.insert(row);
        self.intake.push(Step { gate, ..Step::new(vec![row], target, command) });
    }

    /// Adds a step of a moment. The first row names it where moment and rank are equal.
    pub fn step<C>(&mut self, at: DateTime<Utc>, rank: Rank, rows: Vec<RowId>, target: C::Target, command: &C)
    where
        C: Command + Clone,
        AnyCommand: From<(C::Target, C)>,
    {
        self.place(at, rank, Step::new(rows, target, command));
    }

    /// Puts a step in its place.
    pub fn place(&mut self, at: DateTime<Utc>, rank: Rank, step: Step) {
        let Some(first) = step.rows.first().copied() else { return };
        self.rows.extend(&step.rows);
        self.later.insert((at, rank, first, self.later.len()), step);
    }

    /// A row that is taken without a command of its own.
    pub fn cover(&mut self, row: RowId) {
        self.rows.insert(row);
    }

    /// Whether a row is taken already.
    pub fn is_planned(&self, row: RowId) -> bool {
        self.rows.contains(&row)
    }

    /// A row that has no place, or changes nothing.
    pub fn leave_out(&mut self, row: RowId, reason: impl Into<String>) {
        self.accounts.leave_out(row, Some(&self.subject), reason);
    }

    /// A row that is not taken, because something is wrong.
    pub fn reject(&mut self, row: RowId, reason: impl Into<String>) {
        self.accounts.reject(row, Some(&self.subject), reason);
    }

    /// Something to be said about a row that is taken.
    pub fn note(&mut self, row: RowId, text: impl Into<String>) {
        self.accounts.note(row, Some(&self.subject), text);
    }

    /// The date of a cell. One that is not whole is noted; one that is none is noted and left out.
    ///
    /// # Errors
    /// What is wrong, where it is no date.
    pub fn date(&mut self, row: RowId, column: &str, text: Option<&Text>) -> Result<Option<SdtmDate>, String> {
        let Some(text) = text else { return Ok(None) };
        match SdtmDate::parse(text) {
            Ok(date) => {
                if date.shortened {
                    self.note(row, format!("{column} `{text}` is kept as `{}`", date.date));
                } else if date.day().is_none() {
                    self.note(row, format!("{column} `{text}` is partial: kept as far as it is known"));
                }
                Ok(Some(date))
            }
            Err(error) => {
                let reason = format!("{column}: {error}");
                self.note(row, format!("{reason}; not kept"));
                Err(reason)
            }
        }
    }

    /// The moment of an act that needs a consent. The date that stands for an unknown date of
    /// consent cannot forbid what was recorded earlier: that counts as of the day of consent.
    pub fn covered(&mut self, row: RowId, what: &str, at: DateTime<Utc>) -> DateTime<Utc> {
        if !self.consent.substitute || at.date_naive() >= self.consent.at.date_naive() {
            return at;
        }
        let (day, consent) = (at.date_naive(), self.consent.at.date_naive());
        self.note(
            row,
            format!("{what} on {day}, before the date that stands for the consent: counted as of {consent}"),
        );
        self.consent.at
    }
}

/// When the consent was signed, and what is to be said about how that is known.
fn consent_date(rows: &SubjectRows) -> Result<(ConsentDate, Option<String>), String> {
    let demographics = &rows.demographics;
    if let Some(date) = demographics.consent.as_ref().and_then(|text| SdtmDate::parse(text).ok()) {
        let note = date.day().is_none().then(|| format!("RFICDTC `{}` is partial: its first day is taken", date.date));
        return Ok((ConsentDate { at: date.earliest(), substitute: false }, note));
    }
    let milestones = rows.dispositions.iter().filter(|row| course::is_consent(row));
    let milestone = milestones.filter_map(|row| SdtmDate::parse(row.date.as_ref()?).ok()?.moment()).min();
    if let Some(at) = milestone {
        return Ok((ConsentDate { at, substitute: false }, None));
    }
    let first_visit = rows.visits.iter().filter_map(|row| row.start.as_ref()).min();
    let substitutes = [
        ("DMDTC", demographics.collected.as_ref()),
        ("the first visit's date", first_visit),
        ("RFSTDTC", demographics.first_dose.as_ref()),
    ];
    for (name, text) in substitutes {
        if let Some(at) = text.and_then(|text| SdtmDate::parse(text).ok()?.moment()) {
            let note = format!("RFICDTC is empty: {name} is taken as the date of consent");
            return Ok((ConsentDate { at, substitute: true }, Some(note)));
        }
    }
    Err("RFICDTC, DMDTC and RFSTDTC tell no day: the consent cannot be dated".to_owned())
}
