//! Sending what was made up, and waiting for the process managers' share.

use domain::When;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use events::ids::{PatientId, SiteId};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use super::accounts::{Accounts, Scene, monitor, player};
use super::cast::{Cast, Part};
use client::ToolError;
use client::console::Progress;
use client::{Client, ClientError, CommandRequest};

/// How long the process managers may take over one subject, or over all alerts.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often their work is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether a patient was screened, on which the next one at the site waits.
const SCREENING_LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What came of it.
pub struct Outcome {
    /// The trial's enrolment figures.
    pub enrolment: Value,
    /// Alerts raised.
    pub alerts: usize,
    /// Events that had not been there before.
    pub new_events: u64,
    /// A patient worth looking at.
    pub patient_with_alert: Option<PatientId>,
}

struct Player<'play> {
    accounts: &'play Accounts,
    /// As which everything is read.
    reader: Client,
    cast: &'play Cast,
    new_events: AtomicU64,
    position: AtomicU64,
    alerts: AtomicUsize,
}

/// Plays the whole trial.
pub async fn play(accounts: &Accounts, cast: &Cast, concurrency: usize) -> Result<Outcome, ToolError> {
    let playing = Player {
        accounts,
        reader: accounts.client(&monitor()).await?,
        cast,
        new_events: AtomicU64::new(0),
        position: AtomicU64::new(0),
        alerts: AtomicUsize::new(0),
    };
    for command in cast.setting() {
        playing.send(&command, Scene::trial(cast.trial_id)).await?;
    }
    let progress = Progress::new("consents", cast.subjects.into());
    let intakes = by_site(cast).into_iter().map(|numbers| playing.take_in(numbers, &progress));
    stream::iter(intakes).buffer_unordered(concurrency).try_collect::<Vec<()>>().await?;
    progress.finish();
    let progress = Progress::new("subjects", cast.subjects.into());
    let parts = stream::iter(0..cast.subjects).map(|number| {
        let (player, progress) = (&playing, &progress);
        async move {
            player.play(&cast.part(number)).await?;
            progress.advance(1);
            Ok::<(), ToolError>(())
        }
    });
    parts.buffer_unordered(concurrency).try_collect::<Vec<()>>().await?;
    progress.finish();
    playing.look_after_alerts().await?;
    let position = playing.position.load(Ordering::Relaxed).to_string();
    let path = format!("/v1/trials/{}/enrolment", cast.trial_id);
    let enrolment = playing.reader.get(&path, &[("at_least", &position), ("timeout_ms", "30000")]).await?;
    let alerts = playing.alerts.load(Ordering::Relaxed);
    let new_events = playing.new_events.load(Ordering::Relaxed);
    Ok(Outcome { enrolment, alerts, new_events, patient_with_alert: playing.patient_with_alert().await? })
}

/// The patients of each site, in the order in which they come.
fn by_site(cast: &Cast) -> Vec<Vec<u32>> {
    let mut sites: BTreeMap<SiteId, Vec<u32>> = BTreeMap::new();
    for number in 0..cast.subjects {
        sites.entry(cast.part(number).site_id).or_default().push(number);
    }
    sites.into_values().collect()
}

impl Player<'_> {
    /// Sends a command as whoever's work it is there.
    async fn send(&self, command: &CommandRequest, scene: Scene<'_>) -> Result<(), ClientError> {
        let answer = self.accounts.client(&player(command, scene)).await?.send(command).await?;
        self.position.fetch_max(answer.position, Ordering::Relaxed);
        if !answer.repeated {
            self.new_events.fetch_add(answer.events.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes a site's patients in, one after the other: so each gets the same subject number every time.
    async fn take_in(&self, numbers: Vec<u32>, progress: &Progress) -> Result<(), ToolError> {
        for number in numbers {
            let part = self.cast.part(number);
            for command in &part.beginning {
                self.send(command, part.scene()).await?;
            }
            self.status(&part, SCREENING_LOOK_PAUSE, "screened", |_| true).await?;
            progress.advance(1);
        }
        Ok(())
    }

    async fn play(&self, part: &Part) -> Result<(), ToolError> {
        if !self.is_enrolled(part).await? {
            return Ok(());
        }
        for command in &part.course {
            self.send(command, part.scene()).await?;
        }
        self.alerts.fetch_add(part.alerts, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until the enrolment process manager has come to an end with the subject.
    async fn is_enrolled(&self, part: &Part) -> Result<bool, ToolError> {
        let status = self.status(part, LOOK_PAUSE, "enrolled", |status| status != "screened").await?;
        Ok(status != "screen-failed")
    }

    /// Waits until the subject is where it is wanted; tells where that is.
    async fn status(
        &self,
        part: &Part,
        look_pause: Duration,
        goal: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, ToolError> {
        let deadline = Instant::now() + PATIENCE;
        let query = [("trial_id", self.cast.trial_id.to_string()), ("patient_id", part.patient_id.to_string())];
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        loop {
            let page: Value = self.reader.get("/v1/subjects", &query).await?;
            if let Some(status) = page["items"][0]["status"].as_str().filter(|status| wanted(status)) {
                return Ok(status.to_owned());
            }
            if Instant::now() > deadline {
                let subject_id = part.subject_id;
                let hint = "is a process managers' process (`anamnesis saga`) running?";
                return Err(ToolError::Input(format!("subject {subject_id} is not {goal}: {hint}")));
            }
            tokio::time::sleep(look_pause).await;
        }
    }

    /// Waits until all alerts are raised, then has some of them acknowledged and resolved.
    async fn look_after_alerts(&self) -> Result<(), ToolError> {
        let expected = self.alerts.load(Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        let alerts = loop {
            let alerts = self.all_alerts().await?;
            if alerts.len() >= expected {
                break alerts;
            }
            if Instant::now() > deadline {
                let found = alerts.len();
                return Err(ToolError::Input(format!("only {found} of {expected} alerts were raised")));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        };
        // In an order that is the same every time: by what they are about.
        let mut open: Vec<&Value> = alerts.iter().collect();
        open.sort_by_key(|alert| (alert["source"]["id"].to_string(), alert["rule"].to_string()));
        for (index, alert) in open.into_iter().enumerate() {
            let Some(alert_id) = alert["alert_id"].as_str().and_then(|id| id.parse::<uuid::Uuid>().ok()) else {
                continue;
            };
            let alert_id = events::ids::AlertId::from(alert_id);
            let site = alert["site_id"].as_str().and_then(|id| self.cast.site_of(id));
            let site = site.as_ref().map(|(site_id, code)| (*site_id, code.as_str()));
            let scene = Scene { trial_id: self.cast.trial_id, site, participant: None };
            if index % 3 < 2 {
                let acknowledge = domain::safety::alert::AcknowledgeAlert {
                    note: Some("Called the participant.".to_owned()),
                    occurred_at: When::NOW,
                };
                self.send(&CommandRequest::new(alert_id, &acknowledge), scene).await?;
            }
            if index % 3 == 0 {
                let resolve = domain::safety::alert::ResolveAlert {
                    action_taken: "Seen at the site; treatment continued.".to_owned(),
                    adverse_event_id: None,
                    occurred_at: When::NOW,
                };
                self.send(&CommandRequest::new(alert_id, &resolve), scene).await?;
            }
        }
        Ok(())
    }

    async fn all_alerts(&self) -> Result<Vec<Value>, ToolError> {
        let trial = self.cast.trial_id.to_string();
        let mut alerts = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("trial_id", trial.as_str()), ("limit", "1000")];
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let mut page: Value = self.reader.get("/v1/alerts", &query).await?;
            if let Some(items) = page["items"].as_array_mut() {
                alerts.append(items);
            }
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(alerts),
            }
        }
    }

    /// Somebody whose alert still waits: worth replaying.
    async fn patient_with_alert(&self) -> Result<Option<PatientId>, ToolError> {
        let trial = self.cast.trial_id.to_string();
        let query = [("trial_id", trial.as_str()), ("open", "true"), ("acknowledged", "false"), ("limit", "1")];
        let page: Value = self.reader.get("/v1/alerts", &query).await?;
        let patient = page["items"][0]["patient_id"].as_str().and_then(|id| id.parse::<uuid::Uuid>().ok());
        Ok(patient.map(PatientId::from))
    }
}
