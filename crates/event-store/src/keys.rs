//! What both engines of the store of keys share: rows, and what they say.

use sealing::{Context, KeyStoreError, MasterVersion, Owner, Standing, StoredKey, Wrapped};

/// A row of an owner, joined with those of its keys: owner, whether it was destroyed, version, master, version of the
/// master, wrapped key.
pub type OwnerRow = (String, bool, Option<i64>, Option<String>, Option<i64>, Option<String>);
/// A row of a key: owner, version, master, version of the master, wrapped key.
pub type KeyRow = (String, i64, String, i64, String);

/// A stored value is not what this program writes.
#[derive(Debug, thiserror::Error)]
#[error("the store of keys holds a row that cannot be read")]
struct Unreadable;

/// A key from its row.
///
/// # Errors
/// Where this program did not write it.
pub fn stored((owner, version, master, master_version, text): KeyRow) -> Result<StoredKey, KeyStoreError> {
    let read = || {
        let context = Context { owner: owner.parse().ok()?, version: u32::try_from(version).ok()? };
        let by = MasterVersion { name: master, version: u32::try_from(master_version).ok()? };
        Some(StoredKey { context, wrapped: Wrapped { by, text } })
    };
    read().ok_or(Unreadable).map_err(KeyStoreError::database("reading a key"))
}

/// How it stands with each of these owners, from rows in the order of owner and version.
///
/// # Errors
/// Where this program did not write one.
pub fn standings(owners: &[Owner], rows: Vec<OwnerRow>) -> Result<Vec<Standing>, KeyStoreError> {
    let mut found: std::collections::HashMap<Owner, Standing> = std::collections::HashMap::new();
    for (owner, destroyed, version, master, master_version, wrapped) in rows {
        let known = owner.parse().map_err(KeyStoreError::database("reading an owner of keys"))?;
        let standing = found.entry(known).or_insert(Standing::None);
        if destroyed {
            *standing = Standing::Destroyed;
        } else if let (Some(version), Some(master), Some(master_version), Some(wrapped)) =
            (version, master, master_version, wrapped)
        {
            let key = stored((owner, version, master, master_version, wrapped))?;
            match standing {
                Standing::Kept(keys) => keys.push(key),
                other => *other = Standing::Kept(vec![key]),
            }
        }
    }
    Ok(owners.iter().map(|owner| found.get(owner).cloned().unwrap_or(Standing::None)).collect())
}
