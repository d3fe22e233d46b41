//! The published contract of events: what subscribers are sent, over NATS and over HTTP.
//!
//! All of it is made by walking lists: the registry of events, the bus's headers, its control messages and its
//! subjects. So a new event is in the document, in the list of events and at its address without being named here.

pub mod asyncapi;
pub mod examples;
pub mod list;
mod messages;
pub mod paths;
pub mod schemas;
pub mod served;
#[cfg(test)]
mod tests;
