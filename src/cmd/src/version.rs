//! The version stamped into both binaries at build time.

/// Version and git revision, for example `0.1.0 (1a2b3c4)`.
pub fn text() -> String {
    let version = option_env!("PLACEMENT_CENTER_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"));
    let revision = option_env!("PLACEMENT_CENTER_GIT_REVISION").unwrap_or("unknown");
    format!("{version} ({revision})")
}

/// The version alone, for example `0.1.0`.
pub fn number() -> &'static str {
    option_env!("PLACEMENT_CENTER_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))
}
