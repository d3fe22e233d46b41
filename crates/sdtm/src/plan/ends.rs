//! How participation ended: a screening that failed, an end, a death, a consent that was withdrawn.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::When;
use domain::consent::WithdrawConsent;
use domain::enrolment::subject::{CompleteSubject, DiscontinueSubject, FailScreening, RecordEligibility};
use events::consent::WithdrawalScope;

use super::super::accounts::RowId;
use super::super::dates::SdtmDate;
use super::super::rows::{Demographics, Disposition, ExceptionRow};
use super::super::study::tidy;
use super::course::{
    Kind, SCREEN_FAILURE, is_completion, is_undated, kind, moment, reach, says_consent_was_withdrawn, term,
};
use super::subject::{Planner, Rank};

impl Planner<'_> {
    /// Plans the failure of screening, with the criteria that were not met; gives its moment.
    pub(super) fn screening_failure(
        &mut self,
        demographics: &Demographics,
        end: Option<&Disposition>,
        exceptions: &[ExceptionRow],
    ) -> DateTime<Utc> {
        let decoded = end.and_then(term).unwrap_or_else(|| SCREEN_FAILURE.to_owned());
        // The words of the site say more than the codelist's term.
        let own_words = end.and_then(|end| end.term.as_ref()).map(|words| tidy(words));
        let at = end.and_then(moment).unwrap_or(self.consent.at);
        let mut reasons = Vec::new();
        let mut judgements = BTreeMap::new();
        let mut rows: Vec<RowId> = end.map(|end| end.at).into_iter().collect();
        rows.push(demographics.at);
        let mut judged = Vec::new();
        for row in exceptions {
            match self.exception(row) {
                Ok((code, judgement)) => {
                    judgements.extend(judgement.map(|judgement| (code.clone(), judgement)));
                    if !reasons.contains(&code) {
                        reasons.push(code);
                    }
                    judged.push(row.at);
                }
                Err(reason) => self.reject(row.at, reason),
            }
        }
        let subject_id = self.frame.subject(&self.subject);
        if !judgements.is_empty() {
            let eligibility = RecordEligibility { judgements, occurred_at: When::at(at) };
            self.step(at, Rank::Eligibility, judged.clone(), subject_id, &eligibility);
        }
        rows.extend(judged);
        reasons.push(own_words.unwrap_or(decoded));
        let failure = FailScreening { reasons, occurred_at: When::at(at) };
        self.step(at, Rank::Enrolment, rows, subject_id, &failure);
        at
    }

    /// A criterion that was not met: its code, and whether it is true of the subject where the trial has it.
    fn exception(&mut self, row: &ExceptionRow) -> Result<(String, Option<bool>), String> {
        let code = row.code.as_ref().ok_or("IETESTCD is empty: no criterion is named")?;
        let known = self.frame.judgements.iter().find(|(known, _)| known.eq_ignore_ascii_case(code));
        let Some((code, met)) = known else {
            let text = row.text.as_ref().map_or_else(|| code.to_string(), |text| tidy(text));
            self.note(row.at, format!("ti has no criterion `{code}`: kept as a reason only"));
            return Ok((text, None));
        };
        let told = row.result.as_ref().map(|result| result.to_uppercase());
        let result = match told.as_deref() {
            Some("Y") => true,
            Some("N") => false,
            // A row of IE is there because the criterion was not met.
            _ => !met,
        };
        if result == *met {
            return Err(format!("`{code}` was met, as IESTRESC says: ie holds what was not"));
        }
        Ok((code.clone(), Some(result)))
    }

    /// Whoever was enrolled all the same cannot have failed a criterion here.
    pub(super) fn exceptions_of_the_enrolled(&mut self, exceptions: &[ExceptionRow], enrolled: bool) {
        for row in exceptions {
            let code = row.code.as_ref().map_or("?", |code| code);
            let text = if enrolled {
                format!("`{code}` was not met, and the subject was enrolled all the same: this version has no waivers")
            } else {
                format!("`{code}` was not met; the export tells no end of screening")
            };
            self.leave_out(row.at, text);
        }
    }

    /// Plans the end of participation; gives its moment.
    pub(super) fn end(
        &mut self,
        demographics: &Demographics,
        end: &Disposition,
        allocated_at: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        let Some(reason) = term(end) else {
            self.reject(end.at, "DSDECOD and DSTERM are empty: no reason is told");
            return None;
        };
        let died = || reason.contains("DEATH").then(|| SdtmDate::parse(demographics.death.as_ref()?).ok())?;
        let at = moment(end).or_else(|| Some(died()?.earliest()));
        let at = at.or_else(|| SdtmDate::parse(demographics.reference_end.as_ref()?).ok()?.moment());
        if is_undated(end) {
            let taken =
                at.map_or_else(|| "the date of consent or allocation".to_owned(), |at| at.date_naive().to_string());
            self.note(end.at, format!("DSSTDTC tells no day: {taken} is taken"));
        }
        let earliest = allocated_at.unwrap_or(self.consent.at);
        let at = at.unwrap_or(earliest);
        let at = if is_undated(end) { at.max(earliest) } else { at };
        let at = self.covered(end.at, "ended", at);
        if !reason.contains("DEATH") && (demographics.died || demographics.death.is_some()) {
            let text = format!("dm tells of a death, and ds of another end ({reason}): that of ds is kept");
            self.note(demographics.at, text);
        }
        // Whatever the dates say: whoever was not allocated cannot end as one who was.
        let place = allocated_at.map_or(at, |allocated_at| at.max(allocated_at));
        let subject_id = self.frame.subject(&self.subject);
        if is_completion(&reason) {
            let complete = CompleteSubject { occurred_at: When::at(at) };
            self.step(place, Rank::End, vec![end.at], subject_id, &complete);
            return Some(place);
        }
        let own_words = end.term.as_ref().map(|words| tidy(words));
        let detail = own_words.filter(|words| !words.eq_ignore_ascii_case(&reason));
        let discontinue = DiscontinueSubject { reason, detail, unless_consented: false, occurred_at: When::at(at) };
        self.step(place, Rank::End, vec![end.at], subject_id, &discontinue);
        Some(place)
    }

    /// A death that DM tells and DS does not: by its flag, or by a date that can be read.
    pub(super) fn death(
        &mut self,
        demographics: &Demographics,
        allocated_at: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        let date = self.date(demographics.at, "DTHDTC", demographics.death.as_ref()).ok().flatten();
        if !demographics.died && date.is_none() {
            return None;
        }
        let ended = || SdtmDate::parse(demographics.reference_end.as_ref()?).ok()?.moment();
        let told = match &date {
            Some(date) => date.earliest(),
            None => {
                let ended = ended();
                let taken = if ended.is_some() { "RFENDTC" } else { "the date of consent or allocation" };
                self.note(demographics.at, format!("DTHFL is Y and DTHDTC tells no date: {taken} is taken"));
                ended.unwrap_or(self.consent.at)
            }
        };
        // Of a date that is partly known the first day may lie before what certainly came earlier.
        let exact = date.as_ref().is_some_and(|date| date.day().is_some());
        let earliest = if exact { self.consent.at } else { allocated_at.unwrap_or(self.consent.at) };
        let at = told.max(earliest);
        self.note(demographics.at, "ds tells no end of participation: dm tells of a death");
        let death = DiscontinueSubject {
            reason: "DEATH".to_owned(),
            detail: None,
            unless_consented: false,
            occurred_at: When::at(at),
        };
        let place = allocated_at.map_or(at, |allocated_at| at.max(allocated_at));
        self.step(place, Rank::End, vec![demographics.at], self.frame.subject(&self.subject), &death);
        Some(place)
    }

    /// A consent that was withdrawn, where DS says so of the study and not of the treatment alone.
    pub(super) fn withdrawal(
        &mut self,
        rows: &[&Disposition],
        end: Option<&Disposition>,
        ended_at: Option<DateTime<Utc>>,
    ) {
        let ends = end.filter(|end| reach(end) > 0 && says_consent_was_withdrawn(end));
        let Some(row) = ends.or_else(|| rows.iter().copied().find(|row| kind(row) == Kind::Withdrawal)) else { return };
        let at = moment(row).or(ended_at).unwrap_or(self.consent.at).max(self.consent.at);
        let withdraw = WithdrawConsent {
            trial_id: self.frame.trial_id,
            // More than that no data set says.
            scope: WithdrawalScope::FurtherData,
            reason: row.term.as_ref().map(|words| tidy(words)),
            withdrawn_at: When::at(at),
            historical: true,
        };
        // The subject ends as DS says, before the process that follows a withdrawal would do so.
        let place = ended_at.map_or(at, |ended_at| at.max(ended_at));
        self.step(place, Rank::Withdrawal, vec![row.at], self.frame.patient(&self.subject), &withdraw);
    }

    /// Rows of DS from which no command of their own follows.
    pub(super) fn other_rows(
        &mut self,
        rows: &[&Disposition],
        randomised: Option<&Disposition>,
        end: Option<&Disposition>,
    ) {
        for row in rows.iter().filter(|row| end.is_none_or(|end| end.at != row.at)) {
            let is_randomisation = randomised.is_some_and(|randomised| randomised.at == row.at);
            let name = term(row).unwrap_or_default();
            match kind(row) {
                Kind::Consent if moment(row).is_some_and(|at| at.date_naive() == self.consent.at.date_naive()) => {
                    self.cover(row.at);
                }
                Kind::Consent => {
                    let day = self.consent.at.date_naive();
                    self.leave_out(row.at, format!("the consent of {day} is taken; this version has no later ones"));
                }
                Kind::End if self.is_planned(row.at) => {}
                Kind::End => match end {
                    Some(end) => {
                        let text = format!("participation ends once: by the disposition event at {}", end.at);
                        self.leave_out(row.at, text);
                    }
                    None => self.reject(row.at, format!("`{name}` is no end of participation that can be taken")),
                },
                Kind::Randomised if !is_randomisation => self.leave_out(row.at, "the subject was randomised already"),
                Kind::Randomised | Kind::Eligible | Kind::Enrolled | Kind::Withdrawal if self.is_planned(row.at) => {}
                Kind::Randomised | Kind::Eligible | Kind::Enrolled => {
                    self.leave_out(row.at, "the subject failed screening or has no arm: nothing follows from it");
                }
                Kind::Withdrawal => self.leave_out(row.at, "the consent was withdrawn already"),
                Kind::Milestone => self.leave_out(row.at, format!("no command for the milestone `{name}`")),
                Kind::Other => {
                    let category = row.category.as_ref().map_or("", |category| category);
                    self.leave_out(row.at, format!("{category} `{name}` does not change where the subject stands"));
                }
            }
        }
    }
}
