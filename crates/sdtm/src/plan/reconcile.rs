//! What a later transfer changes: the plan of a subject, compared with what the log knows of it.
//!
//! What is there already is not sent again; what differs is corrected, with the transfer as the reason; what no command
//! can change, and what this transfer no longer says, is told of and stays.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::When;
use domain::commands::AnyCommand;
use domain::enrolment::subject::{CorrectSubjectEnd, RecordEligibility};
use domain::patient::{CorrectDemographics, RegisterPatient};
use events::change::{Change, OptionalChange};
use events::enrolment::subject::SubjectEnd;
use events::ids::{PatientId, StreamKey, SubjectId};

use super::super::accounts::{Accounts, RowId};
use super::super::source::Table;
use super::known::{Course, Ended, Known, TRANSFER};
use super::{Frame, Step, SubjectPlan};

/// Compares a plan with what is known of the subject.
pub fn reconcile(plan: SubjectPlan, known: &Known, frame: &Frame, accounts: &mut Accounts) -> SubjectPlan {
    let SubjectPlan { subject, steps, rows, failures } = plan;
    // Of whom nothing is known everything is new; every plan has the row of DM.
    let row = rows.iter().copied().find(|row| row.table == Table::Dm);
    let Some(row) = row.filter(|_| known.patient.is_some()) else {
        return SubjectPlan { subject, steps, rows, failures };
    };
    let mut transfer = Transfer { known, frame, accounts, row, subject, failures, steps: Vec::new() };
    let (records, course): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| is_record(&step.command));
    transfer.course(course);
    transfer.records(records);
    let Transfer { subject, steps, failures, .. } = transfer;
    SubjectPlan { subject, steps, rows, failures }
}

/// Whether the command tells of one of many things about a subject.
const fn is_record(command: &AnyCommand) -> bool {
    matches!(
        command,
        AnyCommand::RecordObservation { .. }
            | AnyCommand::RecordVisit { .. }
            | AnyCommand::ReportAdverseEvent { .. }
            | AnyCommand::SubmitReport { .. }
    )
}

/// One subject in a later transfer.
pub(super) struct Transfer<'transfer> {
    pub(super) known: &'transfer Known,
    pub(super) frame: &'transfer Frame,
    pub(super) accounts: &'transfer mut Accounts,
    /// The subject's row in DM.
    pub(super) row: RowId,
    pub(super) subject: String,
    pub(super) failures: BTreeMap<RowId, String>,
    pub(super) steps: Vec<Step>,
}

impl Transfer<'_> {
    /// A command that corrects what stands in a stream.
    pub(super) fn correct<C>(&mut self, rows: Vec<RowId>, target: C::Target, command: &C)
    where
        C: decider::Command + Clone,
        C::Target: Copy,
        AnyCommand: From<(C::Target, C)>,
    {
        let version = self.known.version(target.stream());
        self.steps.push(Step { corrects: Some(version), ..Step::new(rows, target, command) });
    }

    /// A step that says what no command can change: told of at the first of its rows.
    pub(super) fn fail(&mut self, step: &Step, reason: &str) {
        if let Some(row) = step.rows.first() {
            self.failures.entry(*row).or_insert_with(|| reason.to_owned());
        }
    }

    /// Something to be said about the subject.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.accounts.note(self.row, Some(&self.subject), text);
    }

    /// Registration, consent, and where the subject stands.
    fn course(&mut self, steps: Vec<Step>) {
        let ends = steps.iter().any(|step| {
            matches!(step.command, AnyCommand::CompleteSubject { .. } | AnyCommand::DiscontinueSubject { .. })
        });
        let withdraws = steps.iter().any(|step| matches!(step.command, AnyCommand::WithdrawConsent { .. }));
        let allocates = steps.iter().any(|step| matches!(step.command, AnyCommand::RandomiseSubject { .. }));
        for step in steps {
            if self.is_new(&step) {
                self.steps.push(step);
            }
        }
        if self.known.withdrawn && !withdraws && self.frame.columns.contains_key(&Table::Ds) {
            self.note("the consent was withdrawn: this transfer does not tell it any more; the withdrawal is kept");
        }
        let allocated = self.known.course.as_ref().is_some_and(|course| course.randomised_at.is_some());
        if allocated && !allocates {
            self.note("the subject was allocated: this transfer does not tell it any more; the allocation is kept");
        }
        let ended = self.known.course.as_ref().and_then(|course| course.ended.as_ref());
        if let Some(ended) = ended.filter(|_| !ends && self.frame.columns.contains_key(&Table::Ds)) {
            let text = format!("participation ended ({}): this transfer tells no end; it is kept", shown(&ended.told));
            self.note(text);
        }
    }

    /// Whether a step is to be sent as it is; where it says something else than what is known, that is corrected.
    fn is_new(&mut self, step: &Step) -> bool {
        let course = self.known.course.as_ref();
        match &step.command {
            AnyCommand::RegisterPatient { target, body } => return self.demographics(step, *target, body),
            AnyCommand::PresentConsentForm { body, .. } => {
                let site = course.and_then(|course| course.site_id);
                if site.is_some_and(|site| site != body.site_id) {
                    self.fail(step, "SITEID names another site than before: the subject stays where it is");
                }
                return self.known.signed_at.is_none();
            }
            AnyCommand::SignConsent { body, .. } => {
                if let (Some(known), Some(told)) = (self.known.signed_at, body.signed_at.instant()) {
                    self.moved("the consent", known, told);
                }
                return self.known.signed_at.is_none();
            }
            AnyCommand::WithdrawConsent { .. } => return !self.known.withdrawn,
            _ => {}
        }
        let Some(course) = course else { return true };
        match &step.command {
            AnyCommand::ScreenPatient { body, .. } => {
                let number = body.subject_number.as_deref().unwrap_or_default();
                if number != course.number {
                    let text = format!("the subject number is `{}`, and now `{number}`: it is kept", course.number);
                    self.fail(step, &text);
                }
                false
            }
            AnyCommand::RecordEligibility { body, .. } => self.eligibility(step, course, body),
            AnyCommand::EnrolSubject { body, .. } => {
                if let (Some(known), Some(told)) = (course.enrolled_at, body.occurred_at.instant()) {
                    self.moved("enrolment", known, told);
                }
                course.enrolled_at.is_none()
            }
            AnyCommand::RandomiseSubject { body, .. } => {
                if let (Some(known), Some(told)) = (course.randomised_at, body.occurred_at.instant()) {
                    self.moved("allocation", known, told);
                }
                if let Some(arm) = course.arm.as_ref().filter(|arm| **arm != body.arm) {
                    let text = format!("the subject was allocated to `{arm}`, and now to `{}`: it is kept", body.arm);
                    self.fail(step, &text);
                }
                course.randomised_at.is_none()
            }
            AnyCommand::FailScreening { body, .. } => match &course.failed {
                // In whatever order they stand there.
                Some(reasons) if sorted(reasons) == sorted(&body.reasons) => false,
                Some(reasons) => {
                    let (known, now) = (reasons.join(", "), body.reasons.join(", "));
                    self.fail(step, &format!("screening failed for {known}, and now for {now}: that is kept"));
                    false
                }
                None => true,
            },
            AnyCommand::CompleteSubject { target, body } => {
                let told = ended(SubjectEnd::Completed, None, None, body.occurred_at);
                self.end(step, course, *target, told)
            }
            AnyCommand::DiscontinueSubject { target, body } => {
                let (reason, detail) = (Some(body.reason.clone()), body.detail.clone());
                let told = ended(SubjectEnd::Discontinued, reason, detail, body.occurred_at);
                self.end(step, course, *target, told)
            }
            _ => true,
        }
    }

    /// A date that no command changes.
    fn moved(&mut self, what: &str, known: DateTime<Utc>, told: DateTime<Utc>) {
        if known.date_naive() != told.date_naive() {
            let (known, told) = (known.date_naive(), told.date_naive());
            self.note(format!("{what} is dated {known}, and now {told}: the first date is kept"));
        }
    }

    fn demographics(&mut self, step: &Step, target: PatientId, body: &RegisterPatient) -> bool {
        let Some(known) = &self.known.patient else { return true };
        let correction = CorrectDemographics {
            name: OptionalChange::NONE,
            national_id: OptionalChange::NONE,
            mobile: OptionalChange::NONE,
            birth_date: changed(&body.birth_date, &known.told.birth_date, &known.now.birth_date, false),
            sex: changed(&body.sex, &known.told.sex, &known.now.sex, false),
            time_zone: OptionalChange::NONE,
            reason: TRANSFER.to_owned(),
            occurred_at: When::NOW,
        };
        if !(correction.birth_date.is_none() && correction.sex.is_none()) {
            self.correct(step.rows.clone(), target, &correction);
        }
        for (column, told, before) in [
            ("BRTHDTC", body.birth_date.is_some(), known.told.birth_date.is_some()),
            ("SEX", body.sex.is_some(), known.told.sex.is_some()),
        ] {
            if before && !told {
                self.note(format!("{column} is empty, and was not before: it is kept"));
            }
        }
        false
    }

    fn eligibility(&mut self, step: &Step, course: &Course, body: &RecordEligibility) -> bool {
        if course.failed.is_none() && course.enrolled_at.is_none() && course.ended.is_none() {
            return true;
        }
        let differs =
            |(code, judgement): (&String, &bool)| course.judgement(code).is_some_and(|known| known != *judgement);
        let criteria: Vec<&str> =
            body.judgements.iter().filter(|judged| differs(*judged)).map(|(code, _)| code.as_str()).collect();
        if !criteria.is_empty() {
            let text = format!("{} was judged otherwise before screening ended: that is kept", criteria.join(", "));
            self.fail(step, &text);
        }
        false
    }

    fn end(&mut self, step: &Step, course: &Course, target: SubjectId, told: Ended) -> bool {
        let Some(known) = &course.ended else { return true };
        let same_day = told.at.date_naive() == known.told.at.date_naive();
        if same_day
            && (told.end, &told.reason, &told.detail) == (known.told.end, &known.told.reason, &known.told.detail)
        {
            return false;
        }
        // Field by field: what the site corrected stays where the transfer says the same as before.
        let (before, now) = (&known.told, &known.now);
        let end = replaced(&told.end, &before.end, &now.end);
        let ends_as = *end.value().unwrap_or(&now.end);
        let reason = changed(&told.reason, &before.reason, &now.reason, false);
        let is_new_day = told.at.date_naive() != now.at.date_naive() && !same_day;
        let detail = changed(&told.detail, &before.detail, &now.detail, true);
        let correction = CorrectSubjectEnd {
            end,
            discontinuation_reason: reason
                .value()
                .filter(|_| ends_as == SubjectEnd::Discontinued)
                .map_or(Change::NONE, |reason| Change::to(reason.clone())),
            detail: if ends_as == SubjectEnd::Completed { OptionalChange::NONE } else { detail },
            ended_at: if is_new_day { When::at(told.at) } else { When::NOW },
            reason: TRANSFER.to_owned(),
            occurred_at: When::NOW,
        };
        let changes = [
            correction.end.is_none(),
            correction.discontinuation_reason.is_none(),
            correction.detail.is_none(),
            correction.ended_at == When::NOW,
        ];
        if changes.contains(&false) {
            self.correct(step.rows.clone(), target, &correction);
        }
        false
    }
}

fn ended(end: SubjectEnd, reason: Option<String>, detail: Option<String>, at: When) -> Ended {
    Ended { end, reason, detail, at: at.instant().unwrap_or_default() }
}

fn sorted(reasons: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = reasons.iter().collect();
    sorted.sort_unstable();
    sorted
}

fn shown(ended: &Ended) -> &str {
    ended.reason.as_deref().unwrap_or("COMPLETED")
}

/// What becomes of a field that may have no value: nothing where the transfer says the same as the one before, or as
/// stands there now. Without a value it is taken away only where the transfer has the column (`clears`).
pub(super) fn changed<T: Clone + PartialEq>(
    planned: &Option<T>,
    told: &Option<T>,
    now: &Option<T>,
    clears: bool,
) -> OptionalChange<T> {
    let is_new = planned != told && planned != now;
    if is_new && (planned.is_some() || clears) { OptionalChange::to(planned.clone()) } else { OptionalChange::NONE }
}

/// What becomes of a field that always has a value.
pub(super) fn replaced<T: Clone + PartialEq>(planned: &T, told: &T, now: &T) -> Change<T> {
    if planned != told && planned != now { Change::to(planned.clone()) } else { Change::NONE }
}

/// Columns of a table, where any of them was read.
pub(super) fn was_read(frame: &Frame, table: Table) -> bool {
    frame.columns.get(&table).is_some_and(|columns| !columns.is_empty())
}
