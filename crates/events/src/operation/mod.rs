//! Running the program.

pub mod dead_letter;
