//! Snapshots, sealed as a whole.

use sealing::{Key, Mac, Purpose, padded, strip_padding};

use super::{SealError, Sealer};
use crate::log::Snapshot;

/// Snapshots are filled up to a multiple of this.
const SNAPSHOT_BLOCK_BYTES: usize = 1024;

impl Sealer {
    /// Seals a snapshot's state, which was folded from events that were open.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_snapshot(&self, snapshot: Snapshot) -> Result<Snapshot, SealError> {
        let key = key_of_snapshots(&self.installation.mac(Purpose::Snapshot)?);
        // What else it says stands in the log: its length would tell that of what is sealed there.
        let state = key.seal(around(&snapshot).as_bytes(), &padded(&snapshot.state, SNAPSHOT_BLOCK_BYTES))?.into();
        Ok(Snapshot { state, ..snapshot })
    }

    /// Opens a snapshot's state; none where it is not one of this installation.
    pub fn open_snapshot(&self, snapshot: Snapshot) -> Option<Snapshot> {
        let key = key_of_snapshots(&self.installation.mac(Purpose::Snapshot).ok()?);
        let mut state = key.open(around(&snapshot).as_bytes(), &snapshot.state).ok()?;
        strip_padding(&mut state).ok()?;
        let state = state.to_vec().into();
        Some(Snapshot { state, ..snapshot })
    }
}

/// Snapshots can be deleted at any time: whoever is to be forgotten is forgotten in them by that, so that one key does.
fn key_of_snapshots(mac: &Mac) -> Key {
    Key::from_bytes(&mac.of(&[b"key"])).expect("a MAC is as long as a key")
}

fn around(snapshot: &Snapshot) -> String {
    format!("snapshot.{}.{}.{}", snapshot.stream, snapshot.version, snapshot.state_version)
}
