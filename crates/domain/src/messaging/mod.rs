//! Messages to people.

pub mod notification;
