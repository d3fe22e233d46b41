//! Sending the plans: subjects side by side, one subject's commands in their order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::StreamExt;

use super::accounts::{Accounts, RowId};
use super::plan::{Frame, Known, REGISTERED, Step, SubjectPlan, TrialPlan, plan_subject, reconcile};
use super::study::SubjectRows;
use client::console::Progress;
use client::{Client, ClientError, CommandRequest};
use domain::site::SiteError;
use domain::trial::TrialError;
use domain::validate::Invalid;
use serde_json::Value;

/// Rules that mean that what was to be set up is there already: an earlier import, perhaps of
/// another part of the study, did it.
const SET_UP_ALREADY: [&str; 7] = [
    TrialError::ALREADY_REGISTERED,
    TrialError::ARM_EXISTS,
    TrialError::FORM_EXISTS,
    TrialError::QUESTIONNAIRE_EXISTS,
    SiteError::ALREADY_REGISTERED,
    SiteError::CODE_TAKEN,
    SiteError::ALREADY_ACTIVE,
];

/// The rule of an answer about somebody of whom nothing is known.
const NOT_FOUND: &str = "not-found";
/// Said of what was set up by an earlier transfer, perhaps otherwise than this one has it.
const STANDS_ALREADY: &str = "stands already; a later transfer does not change how the trial was set up";

/// Fields of a correction that say nothing of what was corrected: why, when, and which one of several.
const ABOUT_THE_CORRECTION: [&str; 7] =
    ["reason", "historical", "occurred_at", "trial_id", "signature_number", "observed_at", "code"];

/// Sends plans and keeps the accounts.
pub struct Sender<'import> {
    client: &'import Client,
    accounts: Mutex<Accounts>,
    progress: Progress,
    settled: AtomicU64,
    position: AtomicU64,
    new_events: AtomicU64,
    corrections: AtomicU64,
    /// Whether the trial was there before: what is known of its subjects is asked for.
    again: AtomicBool,
    stopped: AtomicBool,
    cause: Mutex<Option<ClientError>>,
}

/// What was sent.
#[derive(Debug)]
pub struct Sent {
    /// What became of the rows.
    pub accounts: Accounts,
    /// Where the log stood after the last command.
    pub position: u64,
    /// Events that had not been there before.
    pub new_events: u64,
    /// Commands that corrected what an earlier transfer brought.
    pub corrections: u64,
    /// Why it could not go on, if it could not.
    pub stopped_by: Option<ClientError>,
}

impl<'import> Sender<'import> {
    /// A sender that goes on with these accounts.
    pub fn new(client: &'import Client, accounts: Accounts) -> Self {
        let progress = Progress::new("rows", accounts.rows_read());
        let settled = accounts.rows_settled();
        progress.advance(settled);
        Self {
            client,
            accounts: Mutex::new(accounts),
            progress,
            settled: AtomicU64::new(settled),
            position: AtomicU64::new(0),
            new_events: AtomicU64::new(0),
            corrections: AtomicU64::new(0),
            again: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            cause: Mutex::new(None),
        }
    }

    /// Sets the trial up; false where it is not there afterwards.
    pub async fn set_up(&self, plan: &TrialPlan) -> bool {
        let mut failures = BTreeMap::new();
        let mut registered = true;
        for step in &plan.steps {
            let Err(reason) = self.send(step, None).await else { continue };
            if let Some(gate) = step.gate {
                registered = false;
                self.stopped.store(true, Ordering::Relaxed);
                for row in &plan.rows {
                    failures.insert(*row, format!("not sent, because the trial could not be {gate}: {reason}"));
                }
                break;
            }
            for row in &step.rows {
                failures.entry(*row).or_insert_with(|| reason.clone());
            }
        }
        self.settle(plan.rows.iter().copied(), &failures, None);
        registered && self.cause().is_none()
    }

    /// Sends everything about the subjects, so many of them at once.
    pub async fn send_subjects(&self, frame: &Frame, subjects: impl Iterator<Item = SubjectRows>, concurrency: usize) {
        futures::stream::iter(subjects)
            .for_each_concurrent(concurrency, async |rows| {
                let known = self.known(frame, &rows.demographics.subject).await;
                let plan = {
                    let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
                    let plan = plan_subject(frame, rows, &mut accounts);
                    match known {
                        Some(known) => reconcile(plan, &known, frame, &mut accounts),
                        None => plan,
                    }
                };
                self.show_progress();
                self.send_subject(plan).await;
            })
            .await;
    }

    /// What the log knows of a subject of a trial that was there before.
    async fn known(&self, frame: &Frame, subject: &str) -> Option<Known> {
        if !self.again.load(Ordering::Relaxed) || self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let path = format!("/v1/patients/{}/history", frame.patient(subject));
        // What is on record of a person is compared with what the transfer says.
        let purpose = "Compare a later transfer of the study with what is on record";
        match self.client.text_for(purpose, &path, &[("format", "ndjson"), ("unmasked", "true")]).await {
            Ok(history) => match Known::read(&history, frame.trial_id) {
                Ok(known) => Some(known),
                Err(source) => {
                    self.stop(ClientError::Answer { url: self.client.url().clone(), source });
                    None
                }
            },
            Err(error) if error.about_the_request().is_some_and(|problem| problem.rule == NOT_FOUND) => None,
            Err(error) => {
                self.stop(error);
                None
            }
        }
    }

    fn stop(&self, cause: ClientError) {
        self.stopped.store(true, Ordering::Relaxed);
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
    }

    async fn send_subject(&self, plan: SubjectPlan) {
        let mut failures: BTreeMap<RowId, String> = plan.failures;
        for step in &plan.steps {
            let Err(reason) = self.send(step, Some(&plan.subject)).await else { continue };
            for row in &step.rows {
                failures.entry(*row).or_insert_with(|| reason.clone());
            }
            if let Some(gate) = step.gate {
                let consequence = format!("not sent, because the subject could not be {gate}: {reason}");
                for row in &plan.rows {
                    failures.entry(*row).or_insert_with(|| consequence.clone());
                }
                break;
            }
        }
        self.settle(plan.rows.into_iter(), &failures, Some(&plan.subject));
    }

    /// Sends one command; the reason where it was not carried out.
    async fn send(&self, step: &Step, subject: Option<&str>) -> Result<(), String> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err("not sent, because the import could not go on: run it again".to_owned());
        }
        let request = step.request();
        match self.client.send(&request).await {
            Ok(answer) => {
                if step.corrects.is_some() && !answer.repeated {
                    self.corrections.fetch_add(1, Ordering::Relaxed);
                    self.tell_corrected(step, &request, subject);
                }
                if answer.repeated && step.gate == Some(REGISTERED) {
                    self.again.store(true, Ordering::Relaxed);
                }
                self.position.fetch_max(answer.position, Ordering::Relaxed);
                if !answer.repeated {
                    self.new_events.fetch_add(answer.events.len() as u64, Ordering::Relaxed);
                }
                Ok(())
            }
            Err(error) => match error.about_the_request() {
                Some(problem) if SET_UP_ALREADY.contains(&problem.rule.as_str()) => {
                    self.again.store(true, Ordering::Relaxed);
                    let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
                    for row in &step.rows {
                        accounts.pattern(*row, STANDS_ALREADY);
                    }
                    Ok(())
                }
                Some(problem) if step.corrects.is_some() && problem.rule == Invalid::NOTHING_CHANGES => Ok(()),
                Some(problem) => Err(format!("{} refused: {problem}", request.name)),
                None => {
                    let reason = format!("not sent: {error}");
                    self.stop(error);
                    Err(reason)
                }
            },
        }
    }

    fn tell_corrected(&self, step: &Step, request: &CommandRequest, subject: Option<&str>) {
        let Some(first) = step.rows.iter().min() else { return };
        let body: BTreeMap<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
        let fields = body.keys().map(String::as_str).filter(|name| !ABOUT_THE_CORRECTION.contains(name));
        let fields: Vec<&str> = fields.collect();
        let rows = if step.rows.len() > 1 { format!(", {} rows", step.rows.len()) } else { String::new() };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.correct(*first, subject, format!("{} ({}{rows})", fields.join(", "), request.name));
    }

    fn settle(&self, rows: impl Iterator<Item = RowId>, failures: &BTreeMap<RowId, String>, subject: Option<&str>) {
        {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows {
                match failures.get(&row) {
                    Some(reason) => accounts.reject(row, subject, reason.clone()),
                    None => accounts.take(row),
                }
            }
        }
        self.show_progress();
    }

    fn show_progress(&self) {
        let settled = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).rows_settled();
        let before = self.settled.fetch_max(settled, Ordering::Relaxed);
        self.progress.advance(settled.saturating_sub(before));
    }

    fn cause(&self) -> Option<String> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
    }

    /// The end.
    pub fn finish(self) -> Sent {
        self.progress.finish();
        Sent {
            accounts: self.accounts.into_inner().unwrap_or_else(PoisonError::into_inner),
            position: self.position.into_inner(),
            new_events: self.new_events.into_inner(),
            corrections: self.corrections.into_inner(),
            stopped_by: self.cause.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
