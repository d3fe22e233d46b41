//! JSON Schemas of types, where they are generated: `schemars` there, nothing in the program.
//!
//! Only `codegen` makes schemas; what it makes is checked in, and the program reads that. Derives
//! of hundreds of types would nevertheless be compiled with every program. So whoever declares a
//! type depends on this crate under the name `schemars` and writes what `schemars` asks for. With
//! the feature `generate` this is `schemars`. Without it derives expand to nothing, every type
//! fulfils the bound [`JsonSchema`], and nobody can have a [`SchemaGenerator`].

#[cfg(feature = "generate")]
pub use schemars_itself::*;
/// On an implementation of [`JsonSchema`] by hand: it is there only where schemas are generated.
#[cfg(feature = "generate")]
pub use schemas_derive::kept as where_generated;

#[cfg(not(feature = "generate"))]
mod absent;
#[cfg(not(feature = "generate"))]
pub use absent::{JsonSchema, Schema, SchemaGenerator};
/// On an implementation of [`JsonSchema`] by hand: it is there only where schemas are generated.
#[cfg(not(feature = "generate"))]
pub use schemas_derive::left_out as where_generated;
