//! Given, when, then: the rules of the clinic.

mod course;
mod properties;
mod scoring;
mod times;
mod world;
