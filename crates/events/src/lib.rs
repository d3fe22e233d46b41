//! The facts of Anamnesis: what an event is, and which events exist.
//!
//! One folder per context, with the same names as in `domain` and `views`.
//! This crate is pure data and serde. It knows no clock, no randomness and no
//! I/O, so that a byte written today can be read and checked in twenty-five
//! years.

mod macros;

pub mod consent;
pub mod enrolment;
pub mod envelope;
pub mod epro;
pub mod ids;
pub mod messaging;
pub mod operation;
pub mod patient;
pub mod registry;
pub mod safety;
pub mod set;
pub mod site;
pub mod trial;
pub mod values;
pub mod visit;

pub use envelope::{Actor, Envelope, NewEvent, References, Role};
pub use ids::{StreamId, StreamKey, StreamType};
pub use registry::AnyEvent;
pub use set::{DecodeError, EventSet};
pub use values::{Blinded, PartialDate, Personal, Quantity};
