//! Whom a notification concerns: looked up in views that have seen it, and addressed page by page.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::messaging::notification::{AddressNotification, PAGE_LENGTH_MAX};
use event_store::Store;
use event_store::execute::{ExecuteError, Executor};
use event_store::views::{ColumnValue, Cursor, Direction, Filter, LIST_LIMIT_MAX, ListQuery, ViewError};
use events::ids::{AccountId, NotificationId, PatientId, SiteId, SubjectId, TrialId};
use events::messaging::message::Recipient;
use events::messaging::notification::{Audience, Urgency};
use serde::Deserialize;
use uuid::Uuid;
use views::Table;
use views::access::grants::Grants;
use views::column_name;
use views::enrolment::subjects::Subjects;
use views::messaging::notifications::Notifications;

use crate::commands::execute;
use crate::queue::{equals, read};

/// How often it is looked for notifications that are not addressed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Notifications that are looked at together.
const TOGETHER_MAX: u32 = 100;

/// Why nothing can be addressed for the moment.
#[derive(Debug, thiserror::Error)]
enum AddressError {
    /// A view did not answer.
    #[error("the views do not answer")]
    View(#[from] ViewError),
    /// The log did not.
    #[error("messages cannot be queued")]
    Execute(#[from] ExecuteError),
}

/// A notification that is not addressed yet, as the view shows it.
#[derive(Clone, Debug, Deserialize)]
struct Pending {
    notification_id: NotificationId,
    trial_id: Option<TrialId>,
    site_id: Option<SiteId>,
    patient_id: Option<PatientId>,
    audience: Audience,
    pages: u32,
    after: Option<Uuid>,
    /// Where the view had the last event of it.
    position: u64,
}

/// How far it came that the view does not show yet.
#[derive(Clone, Copy, Debug)]
struct Progress {
    pages: u32,
    after: Option<Uuid>,
    complete: bool,
}

/// Addresses notifications.
pub struct Addressing {
    store: Store,
    executor: Executor,
    known: HashMap<NotificationId, Progress>,
}

/// A page of those whom it may concern.
struct Page {
    recipients: Vec<Recipient>,
    after: Option<Uuid>,
    complete: bool,
}

impl Addressing {
    /// By these.
    pub fn new(store: Store, executor: Executor) -> Self {
        Self { store, executor, known: HashMap::new() }
    }

    /// Addresses until it is dropped.
    pub async fn run(mut self) {
        let mut failing = false;
        loop {
            let worked = match self.turn().await {
                Ok(worked) => {
                    failing = false;
                    worked
                }
                // A projector is about to make it.
                Err(AddressError::View(ViewError::Unknown(_))) => false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "notifications cannot be addressed for the moment");
                    }
                    false
                }
            };
            if !worked {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Addresses every alert that waits, and of everything else a page each; tells whether there was something.
    async fn turn(&mut self) -> Result<bool, AddressError> {
        let alerts = self.pending(Some(Urgency::Alert)).await?;
        let mut worked = false;
        for pending in alerts {
            worked |= self.address(pending).await?;
        }
        let others = self.pending(None).await?;
        let shown: BTreeSet<NotificationId> = others.iter().map(|pending| pending.notification_id).collect();
        self.known.retain(|id, progress| !progress.complete || shown.contains(id));
        if let Some(next) = others.into_iter().find(|pending| !self.is_done(pending.notification_id)) {
            worked |= self.address(next).await?;
        }
        Ok(worked)
    }

    fn is_done(&self, notification_id: NotificationId) -> bool {
        self.known.get(&notification_id).is_some_and(|progress| progress.complete)
    }

    /// Those that wait, the oldest first.
    async fn pending(&self, urgency: Option<Urgency>) -> Result<Vec<Pending>, AddressError> {
        let mut filters = vec![equals("status", ColumnValue::Text("requested".to_owned()))];
        filters.extend(urgency.and_then(|urgency| column_name(&urgency)).map(|name| equals("urgency", name.into())));
        let sort = Some(("requested_at".to_owned(), Direction::Ascending));
        let query = ListQuery { filters, sort, limit: TOGETHER_MAX, ..ListQuery::default() };
        let page = self.store.views.list(Notifications::NAME, &query).await?;
        Ok(page.rows.iter().map(|(_, document)| read(document)).collect::<Result<_, _>>()?)
    }

    /// Addresses a page; tells whether there was one.
    async fn address(&mut self, pending: Pending) -> Result<bool, AddressError> {
        let shown = Progress { pages: pending.pages, after: pending.after, complete: false };
        let known = self.known.get(&pending.notification_id).copied().filter(|known| known.pages > shown.pages);
        let from = known.unwrap_or(shown);
        if from.complete {
            return Ok(false);
        }
        let Some(page) = self.page(&pending, from.after).await? else { return Ok(false) };
        let command = AddressNotification {
            page: from.pages + 1,
            recipients: page.recipients,
            complete: page.complete,
            after: page.after,
        };
        let command = (pending.notification_id, command).into();
        let complete = page.complete;
        let executed = execute(&self.executor, &command).await?;
        if executed.receipt.events.is_empty() {
            // The page was looked at before, by whom the view has not told yet: where it ended, it will.
            return Ok(false);
        }
        tracing::debug!(notification = %pending.notification_id, events = executed.receipt.events.len(), "addressed");
        let progress = Progress { pages: from.pages + 1, after: page.after, complete };
        self.known.insert(pending.notification_id, progress);
        Ok(true)
    }

    /// Who comes next; nothing yet where the view that tells is behind.
    async fn page(&self, pending: &Pending, after: Option<Uuid>) -> Result<Option<Page>, AddressError> {
        let one = |recipient| Some(Page { recipients: vec![recipient], after: None, complete: true });
        Ok(match pending.audience {
            Audience::Patient { patient_id } => one(Recipient::Patient { patient_id }),
            Audience::Account { account_id } => one(Recipient::Account { account_id }),
            Audience::Role { .. } if self.is_behind(Grants::NAME, pending).await? => None,
            Audience::Role { role } => {
                let role = column_name(&role).unwrap_or_default();
                Some(self.holders(&role, pending, after).await?)
            }
            Audience::Subjects if self.is_behind(Subjects::NAME, pending).await? => None,
            Audience::Subjects => Some(self.subjects(pending, after).await?),
        })
    }

    async fn is_behind(&self, view: &str, pending: &Pending) -> Result<bool, AddressError> {
        Ok(self.store.views.position(view).await? < pending.position)
    }

    /// Those who hold the role where it concerns, in the order of their ids.
    async fn holders(&self, role: &str, pending: &Pending, after: Option<Uuid>) -> Result<Page, AddressError> {
        let text = |text: &str| ColumnValue::Text(text.to_owned());
        let (trial, site, patient) = (pending.trial_id, pending.site_id, pending.patient_id);
        let places = [
            Some(vec![equals("held", text("installation"))]),
            trial.map(|trial| vec![equals("held", text("trial")), equals("trial_id", ColumnValue::Uuid(trial.uuid()))]),
            site.map(|site| vec![equals("site_id", ColumnValue::Uuid(site.uuid()))]),
            patient.map(|patient| vec![equals("patient_id", ColumnValue::Uuid(patient.uuid()))]),
        ];
        let mut accounts: BTreeSet<AccountId> = BTreeSet::new();
        for filters in places.into_iter().flatten() {
            accounts.extend(self.grants([vec![equals("role", text(role))], filters].concat()).await?);
        }
        let mut rest = accounts.into_iter().filter(|account| Some(account.uuid()) > after).peekable();
        let page: Vec<AccountId> = rest.by_ref().take(PAGE_LENGTH_MAX).collect();
        Ok(Page {
            after: page.last().map(|account| account.uuid()),
            recipients: page.into_iter().map(|account_id| Recipient::Account { account_id }).collect(),
            complete: rest.peek().is_none(),
        })
    }

    /// The accounts of all grants that fit.
    async fn grants(&self, filters: Vec<Filter>) -> Result<Vec<AccountId>, AddressError> {
        #[derive(Deserialize)]
        struct Grant {
            account_id: AccountId,
        }
        let (mut accounts, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { filters: filters.clone(), after, limit: LIST_LIMIT_MAX, ..ListQuery::default() };
            let page = self.store.views.list(Grants::NAME, &query).await?;
            for (_, document) in &page.rows {
                accounts.push(read::<Grant>(document)?.account_id);
            }
            after = page.next;
            if after.is_none() {
                return Ok(accounts);
            }
        }
    }

    /// The subjects of the trial, or of the site, in the order of their ids.
    async fn subjects(&self, pending: &Pending, after: Option<Uuid>) -> Result<Page, AddressError> {
        #[derive(Deserialize)]
        struct Subject {
            subject_id: SubjectId,
            patient_id: PatientId,
            ended_at: Option<DateTime<Utc>>,
        }
        let place = match (pending.trial_id, pending.site_id) {
            (_, Some(site)) => equals("site_id", ColumnValue::Uuid(site.uuid())),
            (Some(trial), None) => equals("trial_id", ColumnValue::Uuid(trial.uuid())),
            // Of no trial there are none.
            (None, None) => return Ok(Page { recipients: Vec::new(), after: None, complete: true }),
        };
        let after = after.map(|after| Cursor::behind_key(Subjects::NAME, after.to_string()));
        let limit = u32::try_from(PAGE_LENGTH_MAX).unwrap_or(LIST_LIMIT_MAX);
        let query = ListQuery { filters: vec![place], after, limit, ..ListQuery::default() };
        let page = self.store.views.list(Subjects::NAME, &query).await?;
        let subjects =
            page.rows.iter().map(|(_, document)| read::<Subject>(document)).collect::<Result<Vec<_>, _>>()?;
        Ok(Page {
            after: subjects.last().map(|subject| subject.subject_id.uuid()),
            recipients: subjects
                .into_iter()
                .filter(|subject| subject.ended_at.is_none())
                .map(|subject| Recipient::Patient { patient_id: subject.patient_id })
                .collect(),
            complete: page.next.is_none(),
        })
    }
}
