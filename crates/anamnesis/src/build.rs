//! Which program this is.

use service::metrics::Build;

/// The version and the commit that it was built from.
pub const BUILD: Build = Build { version: env!("CARGO_PKG_VERSION"), commit: env!("ANAMNESIS_COMMIT") };

/// What `--version` tells.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("ANAMNESIS_COMMIT"), ")");
