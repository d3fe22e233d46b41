//! Given, when, then: the rules of the clinic.

mod course;
mod processes;
mod properties;
mod scoring;
mod times;
mod world;
