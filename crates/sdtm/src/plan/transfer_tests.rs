//! Plans of a later transfer.
