//! A subject's course: eligibility, enrolment and allocation.

use chrono::{DateTime, Utc};
use domain::When;
use domain::enrolment::subject::{EnrolSubject, RandomiseSubject, RecordEligibility};
use events::identifier;

use super::super::dates::SdtmDate;
use super::super::rows::{Demographics, Disposition, ExceptionRow, Text};
use super::super::study::tidy;
use super::is_term;
use super::subject::{Planner, Rank};

/// The code of whoever has no arm (CDISC codelist ARMNULRS before SDTMIG 3.3).
pub const NO_ARM: &str = "NOTASSGN";
/// How participation ended for whoever was not let in.
pub(super) const SCREEN_FAILURE: &str = "SCREEN FAILURE";

/// Whether an arm's code says that there is none.
pub fn is_no_arm(code: &str) -> bool {
    const NONE: [&str; 7] =
        ["SCRNFAIL", NO_ARM, "NOTTRT", "NOT ASSIGNED", "SCREEN FAILURE", "NOT TREATED", "OBSERVATIONAL STUDY"];
    NONE.iter().any(|none| code.eq_ignore_ascii_case(none))
}

/// Reasons for an arm that is null which leave the planned one (CDISC codelist ARMNULRS): the subject was allocated, and
/// then treated otherwise or not at all.
const ALLOCATED_ALL_THE_SAME: [&str; 2] = ["ASSIGNED, NOT TREATED", "UNPLANNED TREATMENT"];

/// The code of the arm to which the subject was planned; none where ARMNRS tells why there is none, or the code says so.
pub fn planned_arm(demographics: &Demographics) -> Option<&Text> {
    let allocated = |reason: &Text| ALLOCATED_ALL_THE_SAME.iter().any(|known| reason.eq_ignore_ascii_case(known));
    if demographics.arm_null_reason.as_ref().is_some_and(|reason| !allocated(reason)) {
        return None;
    }
    demographics.arm_code.as_ref().filter(|code| !is_no_arm(code))
}

/// What a row of DS is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The consent was given.
    Consent,
    /// The consent was withdrawn, and nothing else.
    Withdrawal,
    /// The criteria were met.
    Eligible,
    /// The subject was enrolled.
    Enrolled,
    /// The subject was allocated.
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
pub(super) fn term(row: &Disposition) -> Option<String> {
    row.decoded.as_ref().or(row.term.as_ref()).map(|term| tidy(term).to_uppercase())
}

pub(super) fn kind(row: &Disposition) -> Kind {
    let term = term(row).unwrap_or_default();
    let milestone = match term.as_str() {
        "RANDOMIZED" | "RANDOMISED" => Kind::Randomised,
        "ELIGIBILITY CRITERIA MET" => Kind::Eligible,
        "ENROLLED" | "ENROLLED INTO TRIAL" | "ENTERED INTO TRIAL" | "ENTRY INTO TRIAL" => Kind::Enrolled,
        _ if says_consent_was_withdrawn(row) => Kind::Withdrawal,
        term if term.starts_with("INFORMED CONSENT") && !term.contains("DECLINED") => Kind::Consent,
        _ => Kind::Milestone,
    };
    match row.category.as_ref() {
        category if is_term(category, "PROTOCOL MILESTONE") => milestone,
        // The end of an epoch that comes before the trial proper.
        category if is_term(category, "DISPOSITION EVENT") && is_completion(&term) && is_before_the_trial(row) => {
            Kind::Milestone
        }
        category if is_term(category, "DISPOSITION EVENT") => Kind::End,
        None if !matches!(milestone, Kind::Milestone | Kind::Withdrawal) => milestone,
        None if milestone == Kind::Withdrawal || says_participation_ended(&term) => Kind::End,
        None => Kind::Other,
        Some(_) if milestone == Kind::Withdrawal => milestone,
        Some(_) => Kind::Other,
    }
}

/// Whether a term says that participation ended as planned.
pub(super) fn is_completion(term: &str) -> bool {
    const TERMS: [&str; 6] =
        ["COMPLETED", "COMPLETE", "COMPLETED STUDY", "COMPLETED TRIAL", "STUDY COMPLETED", "STUDY COMPLETION"];
    TERMS.contains(&term)
}

/// Whether the row is about an epoch before treatment.
fn is_before_the_trial(row: &Disposition) -> bool {
    let epoch = row.epoch.as_ref().map(|epoch| epoch.to_uppercase()).unwrap_or_default();
    ["SCREENING", "RUN-IN", "RUN IN", "BASELINE", "LEAD-IN"].iter().any(|early| epoch.contains(early))
}

/// Whether a term without a category says that participation ended (CDISC codelist NCOMPLT, and what sponsors write).
fn says_participation_ended(term: &str) -> bool {
    const TERMS: [&str; 14] = [
        "ADVERSE EVENT",
        "DEATH",
        "LACK OF EFFICACY",
        "LOST TO FOLLOW-UP",
        "NON-COMPLIANCE WITH STUDY DRUG",
        "OTHER",
        "PHYSICIAN DECISION",
        "PREGNANCY",
        "PROGRESSIVE DISEASE",
        "PROTOCOL DEVIATION",
        "PROTOCOL VIOLATION",
        "RECOVERY",
        "DISEASE RELAPSE",
        "TECHNICAL PROBLEMS",
    ];
    const WORDS: [&str; 6] = ["WITHDR", "DISCONTINU", "TERMINAT", "FAIL", "DIED", "LOST TO"];
    is_completion(term) || TERMS.contains(&term) || WORDS.iter().any(|word| term.contains(word))
}

/// What a consent may be withdrawn for alone.
const PARTS: [&str; 12] = [
    "OPTIONAL",
    "GENETIC",
    "GENOMIC",
    "PHARMACOGEN",
    "SUBSTUDY",
    "SAMPL",
    "BIOMARKER",
    "BIOBANK",
    "BIOPSY",
    "TREATMENT",
    "DRUG",
    "MEDICATION",
];

/// Whether a row says that the consent was withdrawn, in its term or in the words of the site. `WITHDRAWAL BY SUBJECT`
/// (codelist NCOMPLT) alone does not: somebody may leave a trial and let it use and ask for data all the same.
pub(super) fn says_consent_was_withdrawn(row: &Disposition) -> bool {
    [&row.decoded, &row.term].into_iter().flatten().any(|text| {
        let text = tidy(text).to_uppercase();
        let words: Vec<&str> = text.split(|letter: char| !letter.is_alphanumeric()).collect();
        let taken_back = |word: &&str| word.starts_with("WITHDR") || word.starts_with("REVOK");
        let denied = words.iter().any(|word| matches!(*word, "NOT" | "NO" | "WITHOUT" | "NEVER"));
        // Of a part of the trial only: the consent to the rest stands.
        let denied = denied || words.iter().any(|word| PARTS.iter().any(|part| word.starts_with(part)));
        words.contains(&"CONSENT") && words.iter().any(taken_back) && !denied
    })
}

fn is_screen_failure(row: &Disposition) -> bool {
    term(row).is_some_and(|term| term.contains("SCREEN") && term.contains("FAIL"))
}

/// Whether the row speaks of the study as a whole, of something, or only of the treatment.
pub(super) fn reach(row: &Disposition) -> u8 {
    let subcategory = row.subcategory.as_ref().map(|text| text.to_uppercase()).unwrap_or_default();
    match () {
        () if subcategory.contains("PARTICIPATION") => 2,
        () if subcategory.contains("TREATMENT") || subcategory.contains("DRUG") => 0,
        () => 1,
    }
}

/// Whether the row tells no day: then the first that it can mean may lie before what certainly came earlier.
pub(super) fn is_undated(row: &Disposition) -> bool {
    row.date.as_ref().is_none_or(|text| SdtmDate::parse(text).map_or(true, |date| date.day().is_none()))
}

pub(super) fn moment(row: &Disposition) -> Option<DateTime<Utc>> {
    row.date.as_ref().and_then(|text| SdtmDate::parse(text).ok()).map(|date| date.earliest())
}

impl Planner<'_> {
    /// Plans the course.
    pub fn course(&mut self, demographics: &Demographics, rows: &[Disposition], exceptions: &[ExceptionRow]) {
        let rows = self.without_repetitions(rows);
        let arm = self.arm(demographics);
        let randomised = rows.iter().copied().find(|row| kind(row) == Kind::Randomised);
        let ends = rows.iter().copied().filter(|row| kind(row) == Kind::End);
        // Of several ends that of the study counts, and of those the last.
        let end = ends.clone().max_by_key(|row| (reach(row), moment(row), row.at));
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
        let ended_at = match (failed, end) {
            (true, end) => Some(self.screening_failure(demographics, end, exceptions)),
            (false, Some(end)) => self.end(demographics, end, allocated_at),
            (false, None) => self.death(demographics, allocated_at),
        };
        if !failed {
            self.exceptions_of_the_enrolled(exceptions, allocated_at.is_some());
        }
        self.withdrawal(&rows, end, ended_at);
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
                Some(earlier) => self.leave_out(row.at, format!("repeats {}", earlier.at)),
                None => kept.push(row),
            }
        }
        kept
    }

    /// The arm to which the subject was planned.
    fn arm(&mut self, demographics: &Demographics) -> Option<String> {
        let code = planned_arm(demographics);
        let untold = demographics.arm_code.is_none() && demographics.arm_null_reason.is_none();
        let by_code = |wanted: &Text| {
            let arms = &self.frame.arms;
            let exact = arms.iter().find(|(code, _)| code == wanted);
            exact.or_else(|| arms.iter().find(|(code, _)| identifier::same(code, wanted)))
        };
        let by_name = |wanted: &Text| self.frame.arms.iter().find(|(_, name)| name == wanted);
        let found = match code {
            Some(code) => by_code(code),
            None if untold => demographics.arm_name.as_ref().and_then(by_name),
            None => None,
        };
        let arm = found.map(|(code, _)| code.clone())?;
        if let Some(actual) = demographics.actual_arm_code.as_ref().filter(|actual| !actual.eq_ignore_ascii_case(&arm))
        {
            self.note(demographics.at, format!("ACTARMCD is `{actual}`: the planned arm `{arm}` is taken"));
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
        let row = randomised.map_or(demographics.at, |row| row.at);
        let told = randomised.and_then(moment);
        let at = told.or_else(|| {
            let first_dose = SdtmDate::parse(demographics.first_dose.as_ref()?).ok()?.moment();
            self.note(demographics.at, "ds tells no date of randomisation: RFSTDTC is taken");
            first_dose
        });
        let at = at.unwrap_or_else(|| {
            self.note(demographics.at, "no date of randomisation: the date of consent is taken");
            self.consent.at
        });
        let at = if randomised.is_some_and(is_undated) { at.max(self.consent.at) } else { at };
        let at = self.covered(row, "randomised", at);
        self.enrolment(demographics, rows, at);
        let mut sources = vec![demographics.at];
        sources.extend(randomised.map(|row| row.at));
        let command = RandomiseSubject { arm: arm.to_owned(), occurred_at: When::at(at) };
        self.step(at, Rank::Randomisation, sources, self.frame.subject(&self.subject), &command);
        at
    }

    /// Who was let in and has no arm is enrolled at most.
    fn enrolment_only(&mut self, rows: &[&Disposition], randomised: Option<&Disposition>) -> Option<DateTime<Utc>> {
        let enrolled = rows.iter().copied().find(|row| kind(row) == Kind::Enrolled);
        let row = randomised.or(enrolled)?;
        if randomised.is_some() {
            self.note(row.at, "randomised, but dm names no arm of the trial: the subject is enrolled only");
        }
        let at = moment(row).unwrap_or(self.consent.at);
        let at = self.covered(row.at, "enrolled", at);
        let subject_id = self.frame.subject(&self.subject);
        let judgements = self.frame.judgements.clone();
        let eligibility = RecordEligibility { judgements, occurred_at: When::at(at) };
        self.step(at, Rank::Eligibility, vec![row.at], subject_id, &eligibility);
        self.step(at, Rank::Enrolment, vec![row.at], subject_id, &EnrolSubject { occurred_at: When::at(at) });
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
            let mut sources = vec![demographics.at];
            sources.extend(row.map(|row| row.at));
            sources
        };
        let judgements = self.frame.judgements.clone();
        let eligibility = RecordEligibility { judgements, occurred_at: When::at(eligible_at) };
        self.step(eligible_at, Rank::Eligibility, sources(eligible), subject_id, &eligibility);
        let enrol = EnrolSubject { occurred_at: When::at(enrolled_at) };
        self.step(enrolled_at, Rank::Enrolment, sources(enrolled), subject_id, &enrol);
    }
}
