//! Data keys, unwrapped: made when they are first needed, remembered for a while, destroyed for good.

mod error;
mod rewrap;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::key::Key;
use crate::master::{Context, Master};
use crate::owner::{Owner, OwnerKind};
use crate::store::{KeyStore, Standing, StoredKey};

pub use error::KeyError;
pub use rewrap::Rewrapped;

/// Owners whose keys are fetched one after the other, by the end of their id: the others wait for nobody.
const TURNS: usize = 256;

/// How keys are remembered.
#[derive(Clone, Copy, Debug)]
pub struct KeyringOptions {
    /// Owners whose keys are remembered.
    pub owners_max: u64,
    /// For how long they are: as long as this a key that another process destroyed may still be used in this one,
    /// where nobody calls [`Keyring::forget`].
    pub remembered_for: Duration,
}

impl Default for KeyringOptions {
    fn default() -> Self {
        Self { owners_max: 100_000, remembered_for: Duration::from_secs(300) }
    }
}

/// An owner's newest key, under which what is new is sealed.
#[derive(Clone, Debug)]
pub struct DataKey {
    /// Which of the owner's keys it is.
    pub version: u32,
    /// The key.
    pub key: Key,
}

/// The keys of one owner; at least one.
#[derive(Clone, Debug)]
pub struct OwnerKeys(Arc<BTreeMap<u32, Key>>);

/// Hands out data keys.
pub struct Keyring {
    store: Arc<dyn KeyStore>,
    master: Arc<dyn Master>,
    former: Vec<Arc<dyn Master>>,
    remembered: Cache<Owner, OwnerKeys>,
    /// How often keys were forgotten; what was fetched before is not remembered after.
    forgotten: RwLock<u64>,
    turns: Vec<Mutex<()>>,
}

impl OwnerKeys {
    /// The key of this version.
    pub fn of_version(&self, version: u32) -> Option<&Key> {
        self.0.get(&version)
    }

    /// The newest.
    ///
    /// # Panics
    /// Never: there is at least one.
    pub fn newest(&self) -> DataKey {
        let (version, key) = self.0.last_key_value().expect("there is at least one");
        DataKey { version: *version, key: key.clone() }
    }
}

impl Keyring {
    /// Keys of this store, wrapped by this master key.
    pub fn new(store: Arc<dyn KeyStore>, master: Arc<dyn Master>, options: KeyringOptions) -> Self {
        Self {
            store,
            master,
            former: Vec::new(),
            remembered: Cache::builder().max_capacity(options.owners_max).time_to_live(options.remembered_for).build(),
            forgotten: RwLock::new(0),
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
        }
    }

    /// Unwraps also what this master key wrapped, of another name, before the one that wraps now; [`Keyring::rewrap`]
    /// takes all keys over.
    #[must_use]
    pub fn with_former(mut self, master: Arc<dyn Master>) -> Self {
        self.former.push(master);
        self
    }

    /// The secret of the installation on the log of this id, for [`crate::Mac::new`]; made where there is none yet.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn secret(&self, log_id: Uuid) -> Result<Key, KeyError> {
        // Its first key for ever: what a MAC was made of must give the same MAC later.
        self.key(Owner::installation(log_id)).await.map(|newest| newest.key)
    }

    /// The owner's newest key; made where the owner never had one.
    ///
    /// # Errors
    /// [`KeyError`]; an owner whose keys were destroyed gets none.
    pub async fn key(&self, owner: Owner) -> Result<DataKey, KeyError> {
        self.keys(owner).await.map(|keys| keys.newest())
    }

    /// The owner's keys; the first is made where the owner never had one.
    ///
    /// # Errors
    /// As [`Keyring::key`].
    pub async fn keys(&self, owner: Owner) -> Result<OwnerKeys, KeyError> {
        if let Some(keys) = self.remembered.get(&owner) {
            return Ok(keys);
        }
        let _turn = self.turn(owner).lock().await;
        if let Some(keys) = self.remembered.get(&owner) {
            return Ok(keys);
        }
        let since = self.forgotten();
        let keys = match self.standing(owner).await? {
            Standing::None => self.make(Context { owner, version: 1 }).await?,
            standing => self.unwrap_one(owner, standing).await?,
        };
        self.remember(owner, &keys, since);
        Ok(keys)
    }

    /// The key that something was sealed under.
    ///
    /// # Errors
    /// [`KeyError`]; no key is made.
    pub async fn find(&self, context: Context) -> Result<Key, KeyError> {
        let owner = context.owner;
        let of = |keys: &OwnerKeys| keys.of_version(context.version).cloned();
        if let Some(key) = self.remembered.get(&owner).as_ref().and_then(of) {
            return Ok(key);
        }
        let _turn = self.turn(owner).lock().await;
        if let Some(key) = self.remembered.get(&owner).as_ref().and_then(of) {
            return Ok(key);
        }
        let since = self.forgotten();
        let keys = match self.standing(owner).await? {
            Standing::None => return Err(KeyError::Missing(context)),
            standing => self.unwrap_one(owner, standing).await?,
        };
        self.remember(owner, &keys, since);
        of(&keys).ok_or(KeyError::Missing(context))
    }

    /// The keys of many owners, fetched and unwrapped together. Owners without any are missing in the answer; the outer
    /// error is one that concerns all of them.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn find_all(&self, owners: &[Owner]) -> Result<HashMap<Owner, Result<OwnerKeys, KeyError>>, KeyError> {
        let mut found = HashMap::with_capacity(owners.len());
        let mut wanted = Vec::new();
        for owner in owners.iter().copied().collect::<HashSet<_>>() {
            match self.remembered.get(&owner) {
                Some(keys) => drop(found.insert(owner, Ok(keys))),
                None => wanted.push(owner),
            }
        }
        if wanted.is_empty() {
            return Ok(found);
        }
        let since = self.forgotten();
        let standings = self.store.load(&wanted).await?;
        for (owner, keys) in self.unwrap(wanted.into_iter().zip(standings).collect()).await? {
            if let Ok(keys) = &keys {
                self.remember(owner, keys, since);
            }
            found.insert(owner, keys);
        }
        Ok(found)
    }

    /// Gives the owner a further key, under which what is new is sealed from now on, and gives it. The ones before stay.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn renew(&self, owner: Owner) -> Result<DataKey, KeyError> {
        if owner.kind == OwnerKind::Installation {
            return Err(KeyError::Installation);
        }
        let _turn = self.turn(owner).lock().await;
        let since = self.forgotten();
        let newest = match self.standing(owner).await? {
            Standing::None => 0,
            Standing::Destroyed => return Err(KeyError::Destroyed(owner)),
            Standing::Kept(keys) => keys.last().map_or(0, |key| key.context.version),
        };
        let keys = self.make(Context { owner, version: newest + 1 }).await?;
        self.remember(owner, &keys, since);
        Ok(keys.newest())
    }

    /// Destroys the owner's keys for good; tells whether they were not destroyed before. What was sealed under them
    /// is unreadable from then on, and the owner never gets another key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn destroy(&self, owner: Owner) -> Result<bool, KeyError> {
        if owner.kind == OwnerKind::Installation {
            return Err(KeyError::Installation);
        }
        let destroyed = self.store.destroy(owner).await?;
        self.forget(owner);
        Ok(destroyed)
    }

    /// Remembers nothing of the owner any more: its keys were destroyed or renewed by another process.
    pub fn forget(&self, owner: Owner) {
        let mut forgotten = self.forgotten.write().unwrap_or_else(PoisonError::into_inner);
        *forgotten += 1;
        self.remembered.invalidate(&owner);
    }

    /// Makes a key, unless another was first: then it is the other's.
    async fn make(&self, context: Context) -> Result<OwnerKeys, KeyError> {
        let key = Key::random()?;
        let stored = StoredKey { context, wrapped: self.master.wrap(&key, context).await? };
        match self.store.insert(&stored).await? {
            // The usual case, and nobody need be asked to unwrap it.
            Standing::Kept(kept) if kept == [stored] => {
                Ok(OwnerKeys(Arc::new(BTreeMap::from([(context.version, key)]))))
            }
            standing => self.unwrap_one(context.owner, standing).await,
        }
    }

    async fn standing(&self, owner: Owner) -> Result<Standing, KeyError> {
        Ok(self.store.load(&[owner]).await?.pop().unwrap_or(Standing::None))
    }

    async fn unwrap_one(&self, owner: Owner, standing: Standing) -> Result<OwnerKeys, KeyError> {
        let unwrapped = self.unwrap(vec![(owner, standing)]).await?.pop();
        unwrapped.map_or(Err(KeyError::Missing(Context { owner, version: 1 })), |(_, keys)| keys)
    }

    /// Unwraps the keys of these owners, together; leaves out owners who have none.
    async fn unwrap(
        &self,
        standings: Vec<(Owner, Standing)>,
    ) -> Result<Vec<(Owner, Result<OwnerKeys, KeyError>)>, KeyError> {
        let (mut stored, mut unwrapped) = (Vec::new(), Vec::new());
        let mut owners: BTreeMap<Owner, Result<BTreeMap<u32, Key>, KeyError>> = BTreeMap::new();
        for (owner, standing) in standings {
            match standing {
                Standing::None => {}
                Standing::Destroyed => unwrapped.push((owner, Err(KeyError::Destroyed(owner)))),
                Standing::Kept(keys) => stored.extend(keys),
            }
        }
        for (stored, key) in stored.iter().zip(self.unwrap_keys(&stored).await?) {
            let keys = owners.entry(stored.context.owner).or_insert_with(|| Ok(BTreeMap::new()));
            match (keys, key) {
                (Ok(keys), Ok(key)) => drop(keys.insert(stored.context.version, key)),
                (keys @ Ok(_), Err(error)) => *keys = Err(error),
                (Err(_), _) => {}
            }
        }
        unwrapped.extend(owners.into_iter().map(|(owner, keys)| (owner, keys.map(|keys| OwnerKeys(Arc::new(keys))))));
        Ok(unwrapped)
    }

    /// Unwraps these keys, each by the master key that wrapped it; in their order.
    async fn unwrap_keys(&self, stored: &[StoredKey]) -> Result<Vec<Result<Key, KeyError>>, KeyError> {
        let other = |key: &StoredKey| Err(KeyError::OtherMaster(key.wrapped.by.name.clone()));
        let mut unwrapped: Vec<Result<Key, KeyError>> = stored.iter().map(other).collect();
        for master in std::iter::once(&self.master).chain(&self.former) {
            let wrapped_by = |key: &StoredKey| key.wrapped.by.name == master.name();
            let places: Vec<usize> = (0..stored.len()).filter(|place| wrapped_by(&stored[*place])).collect();
            if places.is_empty() {
                continue;
            }
            let asked: Vec<_> =
                places.iter().map(|place| (stored[*place].wrapped.clone(), stored[*place].context)).collect();
            for (place, key) in places.into_iter().zip(master.unwrap_all(&asked).await?) {
                unwrapped[place] = key.map_err(KeyError::Master);
            }
        }
        Ok(unwrapped)
    }

    fn turn(&self, owner: Owner) -> &Mutex<()> {
        &self.turns[(owner.id.as_u128() % TURNS as u128) as usize]
    }

    fn forgotten(&self) -> u64 {
        *self.forgotten.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, owner: Owner, keys: &OwnerKeys, since: u64) {
        let forgotten = self.forgotten.read().unwrap_or_else(PoisonError::into_inner);
        if *forgotten == since {
            self.remembered.insert(owner, keys.clone());
        }
    }
}
