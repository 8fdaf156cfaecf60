//! Which build this is, for whoever reports a fault or asks what runs where.

/// The version of the crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, abbreviated; `unknown` where the build could not tell.
pub const REVISION: &str = env!("BUILD_REVISION");
/// Both, as `--version` shows them.
pub const VERSION_AND_REVISION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_REVISION"), ")");
