//! The interface's description, as it is checked in.

/// The whole OpenAPI document (`cargo xtask codegen` writes it).
pub const OPENAPI: &str = include_str!("../../../openapi/openapi.json");
