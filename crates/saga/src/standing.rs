//! How the process managers of a process stand, for whoever asks whether it is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Why process managers stand still, where they do. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    failures: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Standing {
    /// How they stand now. One whose work another process does stands well.
    ///
    /// # Errors
    /// Which process managers stand still, and why.
    pub fn now(&self) -> Result<(), String> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = failures.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
        Err(texts.join("; "))
    }

    /// Notes how one stands; tells whether that is another failure than before.
    pub(crate) fn set(&self, name: &'static str, failure: Option<String>) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(failure) => {
                let before = failures.insert(name, failure.clone());
                before.as_deref() != Some(failure.as_str())
            }
            None => failures.remove(name).is_some(),
        }
    }
}
