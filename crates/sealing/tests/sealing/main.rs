//! Master keys, against a real OpenBao and real files.

mod file;
mod sealed;
mod transit;
mod transit_faults;
