//! The operators' HTTP API: health, version, metrics, status, configuration, log level, keys and values.
//!
//! Owns routes, query and header syntax, and the shape of answers. What a key-value request means
//! belongs to `service`, which the gRPC API shares; the listener's order of shutdown belongs to `node`.

mod decode;
mod error;
mod layers;
mod log_level;
mod server;
mod write_deadline;

pub use error::{ApiError, OUTCOME_HEADER, Outcome};
pub use layers::{Counters, Limits, panic_text};
pub use log_level::{FacadeLevel, LogLevel};
pub use server::{Bounds, serve};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use std::sync::Arc;

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct Shared {
    /// Limits and counters of every request.
    pub limits: Limits,
    /// The switch of the logging system.
    pub log_level: Arc<dyn LogLevel>,
}

/// All routes.
pub fn router(shared: Shared) -> Router {
    let limits = shared.limits.clone();
    Router::new()
        .route("/v1/log-level", get(log_level::get).put(log_level::put))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(from_fn_with_state(limits, layers::guard))
        .with_state(shared)
}
