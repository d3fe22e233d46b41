//! The facts of Anamnesis: what an event is, which events exist, and the
//! vocabulary in which decisions over them are written.
//!
//! This crate is pure data and serde. It knows no clock, no randomness and no
//! I/O, so that a byte written today can be read and checked in twenty-five
//! years.

mod macros;

pub mod adverse_event;
pub mod alert;
pub mod allocation;
pub mod any;
pub mod consent;
pub mod dead_letter;
pub mod decider;
pub mod enrolment;
pub mod envelope;
pub mod ids;
pub mod notification;
pub mod patient;
pub mod protocol;
pub mod questionnaire;
pub mod report;
pub mod set;
pub mod site;
pub mod subject;
pub mod trial;
pub mod values;
pub mod visit;

pub use any::AnyEvent;
pub use envelope::{Actor, Envelope, NewEvent, References, Role};
pub use ids::{StreamId, StreamKey, StreamType};
pub use set::{DecodeError, EventSet};
pub use values::{Blinded, PartialDate, Personal, Quantity};
