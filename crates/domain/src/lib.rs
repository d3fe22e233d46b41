//! Deciders and process managers: pure and synchronous.
