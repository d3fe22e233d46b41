//! Plans of small studies.
