//! A subject's course: eligibility, enrolment, allocation, and how participation ended.

use chrono::{DateTime, Utc};
use domain::When;
use domain::enrolment::subject::{
    CompleteSubject, DiscontinueSubject, EnrolSubject, FailScreening, RandomiseSubject, RecordEligibility,
};

use super::super::dates::SdtmDate;
use super::super::rows::{Demographics, Disposition, Text};
use super::super::study::tidy;
use super::is_term;
use super::subject::{Planner, Rank};

/// The code of whoever has no arm (CDISC codelist ARMNULRS before SDTMIG 3.3).
pub const NO_ARM: &str = "NOTASSGN";
/// How participation ended for whoever was not let in.
const SCREEN_FAILURE: &str = "SCREEN FAILURE";

/// Whether an arm's code says that there is none.
pub fn is_no_arm(code: &str) -> bool {
    ["SCRNFAIL", NO_ARM, "NOTTRT"].iter().any(|none| code.eq_ignore_ascii_case(none))
}

/// What a row of DS is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Consent,
    Eligible,
    Enrolled,
    Randomised,
    /// A milestone without a command.
    Milestone,
    /// The end of participation.
    End,
    /// Neither.
    Other,
}

/// Whether a row of DS tells of the consent.
pub fn is_consent(row: &Disposition) -> bool {
    kind(row) == Kind::Consent
}

/// What happened, in the codelist's terms where there are any, in upper case.
fn term(row: &Disposition) -> Option<String> {
    row.decoded.as_ref().or(row.term.as_ref()).map(|term| tidy(term).to_uppercase())
}

fn kind(row: &Disposition) -> Kind {
    let term = term(row).unwrap_or_default();
    let milestone = match term.as_str() {
        "RANDOMIZED" | "RANDOMISED" => Kind::Randomised,
        "ELIGIBILITY CRITERIA MET" => Kind::Eligible,
        "ENROLLED" | "ENROLLED INTO TRIAL" | "ENTERED INTO TRIAL" | "ENTRY INTO TRIAL" => Kind::Enrolled,
        term if term.starts_with("INFORMED CONSENT") => Kind::Consent,
        _ => Kind::Milestone,
    };
    match row.category.as_ref() {
        category if is_term(category, "PROTOCOL MILESTONE") => milestone,
        category if is_term(category, "DISPOSITION EVENT") => Kind::End,
        None if milestone != Kind::Milestone => milestone,
        None => Kind::End,
        Some(_) => Kind::Other,
    }
}

fn is_screen_failure(row: &Disposition) -> bool {
    term(row).is_some_and(|term| term.contains("SCREEN") && term.contains("FAIL"))
}

/// Whether the row speaks of the study as a whole, of something, or only of the treatment.
fn reach(row: &Disposition) -> u8 {
    let subcategory = row.subcategory.as_ref().map(|text| text.to_uppercase()).unwrap_or_default();
    match () {
        () if subcategory.contains("PARTICIPATION") => 2,
        () if subcategory.contains("TREATMENT") || subcategory.contains("DRUG") => 0,
        () => 1,
    }
}

fn moment(row: &Disposition) -> Option<DateTime<Utc>> {
    row.date.as_ref().and_then(|text| SdtmDate::parse(text).ok()).map(|date| date.earliest())
}

impl Planner<'_> {
    /// Plans the course.
    pub fn course(&mut self, demographics: &Demographics, rows: &[Disposition]) {
        let rows = self.without_repetitions(rows);
        let arm = self.arm(demographics);
        let randomised = rows.iter().copied().find(|row| kind(row) == Kind::Randomised);
        let ends = rows.iter().copied().filter(|row| kind(row) == Kind::End);
        // Of several ends that of the study counts, and of those the last.
        let end = ends.clone().max_by_key(|row| (reach(row), moment(row), row.line));
        let failed_as = ends.clone().find(|row| is_screen_failure(row));
        let never_let_in = arm.is_none() && randomised.is_none();
        let told_so = is_term(demographics.arm_code.as_ref(), "SCRNFAIL")
            || is_term(demographics.arm_null_reason.as_ref(), SCREEN_FAILURE)
            || (never_let_in && is_term(demographics.arm_name.as_ref(), SCREEN_FAILURE));
        let failed = (told_so && randomised.is_none()) || (failed_as.is_some() && randomised.is_none());
        let end = if failed { failed_as.or(end) } else { end };
        let allocated_at = match (failed, &arm) {
            (true, _) => None,
            (false, Some(arm)) => Some(self.allocation(demographics, arm, &rows, randomised)),
            (false, None) => self.enrolment_only(&rows, randomised),
        };
        match (failed, end) {
            (true, end) => self.screening_failure(demographics, end),
            (false, Some(end)) => self.end(demographics, end, allocated_at),
            (false, None) => self.death(demographics, allocated_at),
        }
        self.other_rows(&rows, randomised, end);
    }

    /// Rows of DS that do not say again what another one says.
    fn without_repetitions<'rows>(&mut self, rows: &'rows [Disposition]) -> Vec<&'rows Disposition> {
        let mut kept: Vec<&Disposition> = Vec::new();
        for row in rows {
            let same = |other: &&&Disposition| {
                (&other.decoded, &other.term, &other.category, &other.subcategory, &other.date)
                    == (&row.decoded, &row.term, &row.category, &row.subcategory, &row.date)
            };
            match kept.iter().find(same) {
                Some(earlier) => self.reject(row.id(), format!("repeats line {}", earlier.line)),
                None => kept.push(row),
            }
        }
        kept
    }

    /// The arm to which the subject was planned.
    fn arm(&mut self, demographics: &Demographics) -> Option<String> {
        let code = demographics.arm_code.as_ref().filter(|code| !is_no_arm(code));
        let by_code = |wanted: &Text| {
            let arms = &self.frame.arms;
            let exact = arms.iter().find(|(code, _)| code == wanted);
            exact.or_else(|| arms.iter().find(|(code, _)| code.eq_ignore_ascii_case(wanted)))
        };
        let by_name = |wanted: &Text| self.frame.arms.iter().find(|(_, name)| name == wanted);
        let found = match code {
            Some(code) => by_code(code),
            None if demographics.arm_code.is_none() => demographics.arm_name.as_ref().and_then(by_name),
            None => None,
        };
        let arm = found.map(|(code, _)| code.clone())?;
        if let Some(actual) = demographics.actual_arm_code.as_ref().filter(|actual| !actual.eq_ignore_ascii_case(&arm))
        {
            self.note(demographics.id(), format!("ACTARMCD is `{actual}`: the planned arm `{arm}` is taken"));
        }
        Some(arm.to_string())
    }

    /// Eligibility, enrolment and allocation; gives the moment of the allocation.
    fn allocation(
        &mut self,
        demographics: &Demographics,
        arm: &str,
        rows: &[&Disposition],
        randomised: Option<&Disposition>,
    ) -> DateTime<Utc> {
        let row = randomised.map_or(demographics.id(), Disposition::id);
        let told = randomised.and_then(moment);
        let at = told.or_else(|| {
            let first_dose = SdtmDate::parse(demographics.first_dose.as_ref()?).ok()?.moment();
            self.note(demographics.id(), "ds tells no date of randomisation: RFSTDTC is taken");
            first_dose
        });
        let at = at.unwrap_or_else(|| {
            self.note(demographics.id(), "no date of randomisation: the date of consent is taken");
            self.consent.at
        });
        let at = self.covered(row, "randomised", at);
        self.enrolment(demographics, rows, at);
        let mut sources = vec![demographics.id()];
        sources.extend(randomised.map(Disposition::id));
        let command = RandomiseSubject { arm: arm.to_owned(), occurred_at: When::at(at) };
        self.step(at, Rank::Randomisation, sources, self.frame.subject(&self.subject), &command);
        at
    }

    /// Who was let in and has no arm is enrolled at most.
    fn enrolment_only(&mut self, rows: &[&Disposition], randomised: Option<&Disposition>) -> Option<DateTime<Utc>> {
        let enrolled = rows.iter().copied().find(|row| kind(row) == Kind::Enrolled);
        let row = randomised.or(enrolled)?;
        if randomised.is_some() {
            self.note(row.id(), "randomised, but dm names no arm of the trial: the subject is enrolled only");
        }
        let at = moment(row).unwrap_or(self.consent.at);
        let at = self.covered(row.id(), "enrolled", at);
        let subject_id = self.frame.subject(&self.subject);
        let judgements = self.frame.judgements.clone();
        let eligibility = RecordEligibility { judgements, occurred_at: When::at(at) };
        self.step(at, Rank::Eligibility, vec![row.id()], subject_id, &eligibility);
        self.step(at, Rank::Enrolment, vec![row.id()], subject_id, &EnrolSubject { occurred_at: When::at(at) });
        Some(at)
    }

    /// Eligibility and enrolment of whoever was randomised at `until`, at their own dates where these are told.
    fn enrolment(&mut self, demographics: &Demographics, rows: &[&Disposition], until: DateTime<Utc>) {
        let subject_id = self.frame.subject(&self.subject);
        let told = |wanted: Kind| rows.iter().copied().find(|row| kind(row) == wanted);
        let (eligible, enrolled) = (told(Kind::Eligible), told(Kind::Enrolled));
        let within = |row: Option<&Disposition>, bound| {
            row.and_then(moment).unwrap_or(bound).clamp(self.consent.at.min(bound), bound)
        };
        let enrolled_at = within(enrolled, until);
        let eligible_at = within(eligible, enrolled_at);
        let sources = |row: Option<&Disposition>| {
            let mut sources = vec![demographics.id()];
            sources.extend(row.map(Disposition::id));
            sources
        };
        let judgements = self.frame.judgements.clone();
        let eligibility = RecordEligibility { judgements, occurred_at: When::at(eligible_at) };
        self.step(eligible_at, Rank::Eligibility, sources(eligible), subject_id, &eligibility);
        let enrol = EnrolSubject { occurred_at: When::at(enrolled_at) };
        self.step(enrolled_at, Rank::Enrolment, sources(enrolled), subject_id, &enrol);
    }

    fn screening_failure(&mut self, demographics: &Demographics, end: Option<&Disposition>) {
        let row = end.map_or(demographics.id(), Disposition::id);
        let decoded = end.and_then(term).unwrap_or_else(|| SCREEN_FAILURE.to_owned());
        // The words of the site say more than the codelist's term.
        let own_words = end.and_then(|end| end.term.as_ref()).map(|words| tidy(words));
        let at = end.and_then(moment).unwrap_or(self.consent.at);
        let failure = FailScreening { reasons: vec![own_words.unwrap_or(decoded)], occurred_at: When::at(at) };
        let mut sources = vec![row];
        sources.push(demographics.id());
        self.step(at, Rank::Enrolment, sources, self.frame.subject(&self.subject), &failure);
    }

    fn end(&mut self, demographics: &Demographics, end: &Disposition, allocated_at: Option<DateTime<Utc>>) {
        let Some(reason) = term(end) else {
            return self.reject(end.id(), "DSDECOD and DSTERM are empty: no reason is told");
        };
        let at = moment(end).or_else(|| SdtmDate::parse(demographics.reference_end.as_ref()?).ok()?.moment());
        if end.date.as_ref().is_none_or(|text| SdtmDate::parse(text).map_or(true, |date| date.day().is_none())) {
            let taken = at.map_or_else(|| "the date of consent".to_owned(), |at| at.date_naive().to_string());
            self.note(end.id(), format!("DSSTDTC tells no day: {taken} is taken"));
        }
        let at = at.unwrap_or(self.consent.at);
        let at = self.covered(end.id(), "ended", at);
        // Whatever the dates say: whoever was not allocated cannot end as one who was.
        let place = allocated_at.map_or(at, |allocated_at| at.max(allocated_at));
        let subject_id = self.frame.subject(&self.subject);
        if reason == "COMPLETED" {
            let complete = CompleteSubject { occurred_at: When::at(at) };
            return self.step(place, Rank::End, vec![end.id()], subject_id, &complete);
        }
        let own_words = end.term.as_ref().map(|words| tidy(words));
        let detail = own_words.filter(|words| !words.eq_ignore_ascii_case(&reason));
        let discontinue = DiscontinueSubject { reason, detail, unless_consented: false, occurred_at: When::at(at) };
        self.step(place, Rank::End, vec![end.id()], subject_id, &discontinue);
    }

    /// A death that DM tells and DS does not.
    fn death(&mut self, demographics: &Demographics, allocated_at: Option<DateTime<Utc>>) {
        if !demographics.died && demographics.death.is_none() {
            return;
        }
        let date = self.date(demographics.id(), "DTHDTC", demographics.death.as_ref()).ok().flatten();
        let at = date.map_or(self.consent.at, |date| date.earliest()).max(self.consent.at);
        self.note(demographics.id(), "ds tells no end of participation: dm tells of a death");
        let death = DiscontinueSubject {
            reason: "DEATH".to_owned(),
            detail: None,
            unless_consented: false,
            occurred_at: When::at(at),
        };
        let place = allocated_at.map_or(at, |allocated_at| at.max(allocated_at));
        self.step(place, Rank::End, vec![demographics.id()], self.frame.subject(&self.subject), &death);
    }

    /// Rows of DS from which no command of their own follows.
    fn other_rows(&mut self, rows: &[&Disposition], randomised: Option<&Disposition>, end: Option<&Disposition>) {
        for row in rows {
            let is = |other: Option<&Disposition>| other.is_some_and(|other| other.line == row.line);
            let name = term(row).unwrap_or_default();
            match kind(row) {
                Kind::Consent if moment(row).is_some_and(|at| at.date_naive() == self.consent.at.date_naive()) => {
                    self.cover(row.id());
                }
                Kind::Consent => {
                    let day = self.consent.at.date_naive();
                    self.reject(row.id(), format!("the consent of {day} is taken; this version has no later ones"));
                }
                Kind::End if is(end) => {}
                Kind::End => {
                    let line = end.map_or(0, |end| end.line);
                    self.reject(row.id(), format!("participation ends once: by the disposition event at line {line}"));
                }
                Kind::Randomised if !is(randomised) => self.reject(row.id(), "the subject was randomised already"),
                Kind::Randomised | Kind::Eligible | Kind::Enrolled if self.is_planned(row.id()) => {}
                Kind::Randomised | Kind::Eligible | Kind::Enrolled => {
                    self.reject(row.id(), "the subject failed screening or has no arm: nothing follows from it");
                }
                Kind::Milestone => self.reject(row.id(), format!("no command for the milestone `{name}`")),
                Kind::Other => {
                    let category = row.category.as_ref().map_or("", |category| category);
                    self.reject(row.id(), format!("{category} `{name}` does not change where the subject stands"));
                }
            }
        }
    }
}
