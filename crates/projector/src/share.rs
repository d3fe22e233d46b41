//! Which views this process keeps up to date: a lease each, shared fairly with other processes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_store::leases::{CoordinationError, LeaseStore};
use tokio::time::Instant;
use uuid::Uuid;

/// What the leases of views begin with.
const VIEW: &str = "projector/";
/// What the leases by which processes count each other begin with.
const MEMBER: &str = "projector-member/";
/// What both begin with.
const ALL: &str = "projector";
/// Processes that share; more find nothing to do.
const MEMBERS_MAX: u32 = 64;
/// How long a lease holds without being renewed: the time until another takes over.
const LEASE_TIME: Duration = Duration::from_secs(5);
/// How long a view that is due to another process may be without one: that process may be unable to fold it.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(8);
/// How long a view that this program cannot fold is left alone before it is looked at again.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// How long giving leases back may take; they run out by themselves.
const GIVE_BACK_MAX: Duration = Duration::from_secs(2);

/// The views whose leases this process holds. Clones see the same.
#[derive(Clone, Default)]
pub struct Holdings(Arc<Mutex<BTreeSet<&'static str>>>);

impl Holdings {
    /// Whether the view's lease is held.
    pub fn holds(&self, view: &str) -> bool {
        self.set().contains(view)
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look at the leases changed.
#[derive(Default)]
pub struct Change {
    /// Views that are this process's from now on.
    pub taken: Vec<&'static str>,
    /// Views that no longer are.
    pub lost: Vec<&'static str>,
}

/// This process's share of the views.
pub struct Share {
    leases: Arc<dyn LeaseStore>,
    holder: Uuid,
    views: Vec<&'static str>,
    member: Option<u32>,
    holdings: Holdings,
    // Held beyond the fair share, because nobody else took them.
    adopted: BTreeSet<&'static str>,
    orphans: HashMap<&'static str, Instant>,
    refused: HashMap<&'static str, Instant>,
    members: usize,
}

impl Share {
    /// A share of `views`, empty so far.
    pub fn new(leases: Arc<dyn LeaseStore>, views: Vec<&'static str>) -> Self {
        Self {
            leases,
            holder: Uuid::now_v7(),
            views,
            member: None,
            holdings: Holdings::default(),
            adopted: BTreeSet::new(),
            orphans: HashMap::new(),
            refused: HashMap::new(),
            members: 0,
        }
    }

    /// The views that are held.
    pub fn holdings(&self) -> Holdings {
        self.holdings.clone()
    }

    /// Renews what is held, takes what is due and free, and gives up what is due to others.
    ///
    /// # Errors
    /// Where the leases cannot be read; what is held stays so until it runs out.
    pub async fn tend(&mut self) -> Result<Change, CoordinationError> {
        let kept: BTreeSet<String> = self.leases.renew(self.holder, LEASE_TIME).await?.into_iter().collect();
        let mut change = Change::default();
        self.holdings.set().retain(|view| {
            let is_kept = kept.contains(&format!("{VIEW}{view}"));
            if !is_kept {
                change.lost.push(view);
            }
            is_kept
        });
        self.member = self.member.filter(|member| kept.contains(&format!("{MEMBER}{member}")));
        // What could not be given back would be held for ever, and worked on by nobody.
        for name in kept.iter().filter(|name| !self.works_by(name)) {
            self.leases.release(name, self.holder).await?;
        }
        let held: BTreeMap<String, Uuid> = self.leases.held(ALL).await?.into_iter().collect();
        let due = self.due(&held).await?;
        self.refused.retain(|_, since| since.elapsed() < REFUSED_PAUSE);
        self.adopted.retain(|view| self.holdings.holds(view));
        for view in self.views.clone() {
            if held.contains_key(&format!("{VIEW}{view}")) || self.refused.contains_key(view) {
                self.orphans.remove(view);
                continue;
            }
            let is_due = self.held_count() < due;
            let since = *self.orphans.entry(view).or_insert_with(Instant::now);
            if !is_due && since.elapsed() < ORPHAN_PATIENCE {
                continue;
            }
            if self.leases.acquire(&format!("{VIEW}{view}"), self.holder, LEASE_TIME).await?.is_some() {
                self.orphans.remove(view);
                self.holdings.set().insert(view);
                if !is_due {
                    self.adopted.insert(view);
                }
                change.taken.push(view);
            }
        }
        while self.held_count() > due {
            let last = self.views.iter().rev().find(|view| self.holdings.holds(view) && !self.adopted.contains(*view));
            let Some(view) = last.copied() else { break };
            self.give_up(view).await?;
            change.lost.push(view);
        }
        Ok(change)
    }

    /// Leaves a view alone for a while that this program cannot fold: another may.
    ///
    /// # Errors
    /// Where the lease cannot be given back; it then runs out.
    pub async fn refuse(&mut self, view: &'static str) -> Result<(), CoordinationError> {
        self.refused.insert(view, Instant::now());
        self.give_up(view).await
    }

    /// Gives everything back, so that others need not wait for it to run out; what fails does.
    pub async fn give_back(&mut self) {
        let mut names: Vec<String> = self.holdings.set().iter().map(|view| format!("{VIEW}{view}")).collect();
        names.extend(self.member.map(|member| format!("{MEMBER}{member}")));
        let releases = names.iter().map(|name| self.leases.release(name, self.holder));
        drop(tokio::time::timeout(GIVE_BACK_MAX, futures::future::join_all(releases)).await);
        self.holdings.set().clear();
        self.adopted.clear();
        self.orphans.clear();
        self.member = None;
    }

    async fn give_up(&mut self, view: &'static str) -> Result<(), CoordinationError> {
        self.holdings.set().remove(view);
        self.adopted.remove(view);
        self.leases.release(&format!("{VIEW}{view}"), self.holder).await
    }

    /// Whether a lease of this process is one that it works by.
    fn works_by(&self, lease: &str) -> bool {
        if let Some(member) = lease.strip_prefix(MEMBER) {
            return self.member.is_some_and(|own| own.to_string() == member);
        }
        lease.strip_prefix(VIEW).is_some_and(|view| self.holdings.holds(view))
    }

    fn held_count(&self) -> usize {
        self.holdings.set().len() - self.adopted.len()
    }

    /// How many views are due to this process, which becomes a member if it is none.
    async fn due(&mut self, held: &BTreeMap<String, Uuid>) -> Result<usize, CoordinationError> {
        let number = |name: &String| name.strip_prefix(MEMBER)?.parse::<u32>().ok();
        let mut members: BTreeSet<u32> = held.keys().filter_map(number).collect();
        if self.member.is_none() {
            for member in (0..MEMBERS_MAX).filter(|member| !members.contains(member)) {
                let name = format!("{MEMBER}{member}");
                if self.leases.acquire(&name, self.holder, LEASE_TIME).await?.is_some() {
                    self.member = Some(member);
                    break;
                }
            }
        }
        let Some(member) = self.member else { return Ok(0) };
        members.insert(member);
        if std::mem::replace(&mut self.members, members.len()) != members.len() {
            // Whoever came may be able to fold what nobody else took.
            self.adopted.clear();
        }
        let rank = members.range(..member).count();
        let more = usize::from(rank < self.views.len() % members.len());
        Ok(self.views.len() / members.len() + more)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use event_store::leases::Lease;

    use super::*;

    /// Leases that cannot be given back while the storage is away.
    struct Away {
        leases: Arc<dyn LeaseStore>,
        is_away: AtomicBool,
    }

    #[async_trait]
    impl LeaseStore for Away {
        async fn acquire(
            &self,
            name: &str,
            holder: Uuid,
            duration: Duration,
        ) -> Result<Option<Lease>, CoordinationError> {
            self.leases.acquire(name, holder, duration).await
        }

        async fn renew(&self, holder: Uuid, duration: Duration) -> Result<Vec<String>, CoordinationError> {
            self.leases.renew(holder, duration).await
        }

        async fn held(&self, prefix: &str) -> Result<Vec<(String, Uuid)>, CoordinationError> {
            self.leases.held(prefix).await
        }

        async fn release(&self, name: &str, holder: Uuid) -> Result<(), CoordinationError> {
            if self.is_away.load(Ordering::Relaxed) {
                return Err(CoordinationError::database("giving a lease back")(sqlx::Error::WorkerCrashed));
            }
            self.leases.release(name, holder).await
        }
    }

    #[tokio::test]
    async fn what_could_not_be_given_back_is_taken_again() {
        let test = testkit::stores::sqlite().await;
        let leases = Arc::new(Away { leases: test.store.leases.clone(), is_away: AtomicBool::new(false) });
        let views = vec!["alerts", "consents", "patients", "sites"];
        let mut share = Share::new(leases.clone(), views.clone());
        assert_eq!(share.tend().await.expect("an answer").taken, views);
        leases.is_away.store(true, Ordering::Relaxed);
        share.give_back().await;
        leases.is_away.store(false, Ordering::Relaxed);
        assert_eq!(share.tend().await.expect("an answer").taken, views, "all of them, as the only member");
        share.give_back().await;
        assert_eq!(leases.held(ALL).await.expect("an answer"), []);
    }
}
