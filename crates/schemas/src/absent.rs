//! The names of `schemars` that declarations mention, where nothing is generated.

pub use schemas_derive::JsonSchema;

/// Could be described; every type could.
pub trait JsonSchema {}

impl<T: ?Sized> JsonSchema for T {}

/// There is none without a generator.
pub enum Schema {}

/// There is none: what asks for one is compiled and never runs.
pub enum SchemaGenerator {}

impl SchemaGenerator {
    /// The schema of `T`, or a reference to its definition.
    pub fn subschema_for<T: ?Sized>(&mut self) -> Schema {
        match *self {}
    }

    /// The schema of `T` with all that it refers to.
    pub fn root_schema_for<T: ?Sized>(&mut self) -> Schema {
        match *self {}
    }
}
