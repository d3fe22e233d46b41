//! An issuer: what is accepted of it, and its keys as they were when it was last asked.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use event_store::clock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::claims::Rules;
use super::error::IdentityError;
use super::jwk::{KeyName, KeySet, PublicKey};
use super::source::Origin;

/// How old keys may be.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// The least time between two look-ups of one issuer, whoever asks for whatever keys.
    pub pause: Duration,
    /// How old keys are when they are looked up again, where the issuer does not say.
    pub age: Duration,
    /// How old at most, whatever the issuer says.
    pub age_max: Duration,
    /// How long keys are used on while the issuer is away.
    pub kept_max: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(10),
            age: Duration::from_secs(300),
            age_max: Duration::from_secs(3_600),
            kept_max: Duration::from_secs(24 * 3_600),
        }
    }
}

/// Somebody who vouches for people.
pub struct Issuer {
    name: String,
    rules: Rules,
    origin: Origin,
    freshness: Freshness,
    standing: RwLock<Standing>,
    /// Held by the one who looks keys up: the others wait for what is found.
    turn: Arc<Mutex<()>>,
}

#[derive(Default)]
struct Standing {
    /// The last good set, and when it was had.
    kept: Option<(Arc<KeySet>, Instant)>,
    /// When the issuer was last asked, by both clocks.
    asked_at: Option<(Instant, DateTime<Utc>)>,
    /// When the last look-up ended. The pause is counted from there: a provider that hangs is not asked without a break.
    ended_at: Option<Instant>,
    /// When it is to be asked again without anybody's need.
    due_at: Option<Instant>,
    /// Whether the last look-up came to nothing.
    failed: bool,
}

impl Issuer {
    pub(super) fn new(name: &str, rules: Rules, origin: Origin, freshness: Freshness) -> Arc<Self> {
        // To look up what is here costs a small file at most; and so it is known at once whether a key is none of the issuer's.
        let freshness = if origin.is_here() { Freshness { pause: Duration::ZERO, ..freshness } } else { freshness };
        let (standing, turn) = (RwLock::default(), Arc::default());
        Arc::new(Self { name: name.to_owned(), rules, origin, freshness, standing, turn })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The key of this name, by which a token was signed at `issued_at`; looks it up where it is not known, as often as
    /// that may be done.
    pub(super) async fn key(
        self: &Arc<Self>,
        name: &KeyName,
        issued_at: DateTime<Utc>,
    ) -> Result<Arc<PublicKey>, IdentityError> {
        if let Some(key) = self.known(name) {
            return Ok(key);
        }
        let came_at = Instant::now();
        self.look_up().await;
        self.known(name).ok_or_else(|| self.absent(came_at, issued_at))
    }

    /// The key of this name, where it is known and not too old to be believed.
    pub(super) fn known(&self, name: &KeyName) -> Option<Arc<PublicKey>> {
        self.read(|standing| {
            let (keys, had_at) = standing.kept.as_ref()?;
            let is_young = had_at.elapsed() < self.freshness.kept_max;
            keys.get(name).filter(|_| is_young).cloned()
        })
    }

    /// Keeps the keys fresh until `shutdown`, so that requests seldom wait for a look-up and a key that the issuer
    /// takes back is not used for longer than the set may be kept.
    pub(super) async fn keep_fresh(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let due_at = self.read(|standing| standing.due_at).unwrap_or_else(Instant::now);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep_until(due_at) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look_up() => {}
            }
        }
    }

    /// Has the keys looked up, unless that was done a moment ago. Whoever comes meanwhile waits for the same look-up.
    async fn look_up(self: &Arc<Self>) {
        let turn = self.turn.clone().lock_owned().await;
        let ended_at = self.read(|standing| standing.ended_at);
        if ended_at.is_some_and(|ended| ended.elapsed() < self.freshness.pause) {
            return;
        }
        // In a task of its own: who asked may go away, and what is found is for everybody.
        let issuer = self.clone();
        let looked_up = tokio::spawn(async move {
            issuer.ask().await;
            drop(turn);
        });
        // A panic has been told by its own message; the keys stay as they were.
        drop(looked_up.await);
    }

    async fn ask(&self) {
        let now = Instant::now();
        let was_away = self.write(|standing| {
            standing.asked_at = Some((now, clock::now()));
            standing.due_at = Some(now + self.freshness.pause);
            // Until the opposite is known.
            std::mem::replace(&mut standing.failed, true) || standing.kept.is_none()
        });
        let found = self.origin.keys().await;
        let ended_at = Instant::now();
        match found {
            Ok(found) => {
                let age = found.max_age.unwrap_or(self.freshness.age);
                let age = age.min(self.freshness.age_max).max(self.freshness.pause);
                let (count, keys) = (found.keys.len(), Arc::new(found.keys));
                self.write(|standing| {
                    standing.kept = Some((keys, ended_at));
                    standing.ended_at = Some(ended_at);
                    standing.due_at = Some(ended_at + age);
                    standing.failed = false;
                });
                if was_away {
                    tracing::info!(issuer = self.name, keys = count, "the issuer's keys are known");
                }
            }
            Err(error) => {
                self.write(|standing| {
                    standing.ended_at = Some(ended_at);
                    standing.due_at = Some(ended_at + self.freshness.pause);
                });
                tracing::warn!(
                    issuer = self.name,
                    error = &error as &dyn std::error::Error,
                    "the issuer's keys are not to be had"
                );
            }
        }
    }

    /// Why a key is not known: it is none of the issuer's if the issuer did not have it when it was asked for it, or at any
    /// time after it signed. In between, as after a change of keys, nobody can say until the issuer may be asked again.
    fn absent(&self, came_at: Instant, issued_at: DateTime<Utc>) -> IdentityError {
        self.read(|standing| {
            let is_usable =
                standing.kept.as_ref().is_some_and(|(_, had_at)| had_at.elapsed() < self.freshness.kept_max);
            // `iat` is in whole seconds.
            let signed_before = issued_at + TimeDelta::seconds(1);
            let asked_since = standing.asked_at.is_some_and(|(asked, time)| asked >= came_at || time > signed_before);
            if is_usable && !standing.failed && asked_since {
                return IdentityError::UnknownKey;
            }
            let since = standing.ended_at.map_or(Duration::ZERO, |ended| ended.elapsed());
            let left = self.freshness.pause.saturating_sub(since).as_secs_f64().ceil();
            IdentityError::Unavailable { retry_after_seconds: (left as u32).max(1) }
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Standing) -> T) -> T {
        read(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Standing) -> T) -> T {
        write(&mut self.standing.write().unwrap_or_else(PoisonError::into_inner))
    }
}
