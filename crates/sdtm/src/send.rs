//! Sending the plans: subjects side by side, one subject's commands in their order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::StreamExt;

use super::accounts::{Accounts, RowId};
use super::plan::{Frame, Step, SubjectPlan, TrialPlan, plan_subject};
use super::study::SubjectRows;
use client::console::Progress;
use client::{Client, ClientError};
use domain::site::SiteError;
use domain::trial::TrialError;

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

/// Sends plans and keeps the accounts.
pub struct Sender<'import> {
    client: &'import Client,
    accounts: Mutex<Accounts>,
    progress: Progress,
    settled: AtomicU64,
    position: AtomicU64,
    new_events: AtomicU64,
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
            stopped: AtomicBool::new(false),
            cause: Mutex::new(None),
        }
    }

    /// Sets the trial up; false where it is not there afterwards.
    pub async fn set_up(&self, plan: &TrialPlan) -> bool {
        let mut failures = BTreeMap::new();
        let mut registered = true;
        for step in &plan.steps {
            let Err(reason) = self.send(step).await else { continue };
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
                let plan = {
                    let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
                    plan_subject(frame, rows, &mut accounts)
                };
                self.show_progress();
                self.send_subject(plan).await;
            })
            .await;
    }

    async fn send_subject(&self, plan: SubjectPlan) {
        let mut failures: BTreeMap<RowId, String> = BTreeMap::new();
        for step in &plan.steps {
            let Err(reason) = self.send(step).await else { continue };
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
    async fn send(&self, step: &Step) -> Result<(), String> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err("not sent, because the import could not go on: run it again".to_owned());
        }
        match self.client.send(&step.request).await {
            Ok(answer) => {
                self.position.fetch_max(answer.position, Ordering::Relaxed);
                if !answer.repeated {
                    self.new_events.fetch_add(answer.events.len() as u64, Ordering::Relaxed);
                }
                Ok(())
            }
            Err(error) => match error.about_the_request() {
                Some(problem) if SET_UP_ALREADY.contains(&problem.rule.as_str()) => Ok(()),
                Some(problem) => Err(format!("{} refused: {problem}", step.request.name)),
                None => {
                    let reason = format!("not sent: {error}");
                    self.stopped.store(true, Ordering::Relaxed);
                    self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    Err(reason)
                }
            },
        }
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
            stopped_by: self.cause.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
