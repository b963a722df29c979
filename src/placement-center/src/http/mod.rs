//! The operators' HTTP API: health, version, metrics, status, members, configuration, log level, keys and
//! values.
//!
//! Owns routes, query and header syntax, and the shape of answers. What a key-value request means
//! belongs to `service`, which the gRPC API shares; the listener's order of shutdown belongs to `node`.

mod decode;
mod error;
mod health;
mod json_body;
mod kv;
mod kv_json;
mod layers;
mod leader;
mod leases;
mod log_level;
mod members;
mod metrics;
mod server;
mod shared;
mod status;
mod write_deadline;

pub use error::ApiError;
pub use layers::{Counters, Limits, panic_text};
pub use log_level::{FacadeLevel, LogLevel};
pub use server::{Bounds, serve};
pub use shared::{Parts, Shared};
pub use status::VERSION;
pub(crate) use write_deadline::WriteDeadline;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use std::sync::Arc;

/// All routes.
pub fn router(shared: Shared) -> Router {
    let limits = shared.limits.clone();
    let administration = members::routes(Arc::clone(&shared.parts.admin), limits.clone());
    let routes = Router::new()
        .route("/health", get(health::health))
        .route("/livez", get(health::livez))
        .route("/livez/{check}", get(health::livez_one))
        .route("/readyz", get(health::readyz))
        .route("/readyz/{check}", get(health::readyz_one))
        .route("/version", get(status::version))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/status", get(status::status))
        .route("/v1/config", get(status::config))
        .route("/v1/log-level", get(log_level::get).put(log_level::put))
        .route("/v1/kv", get(kv::list))
        .route("/v1/kv/", any(kv::no_key))
        .route(
            "/v1/kv/{*key}",
            get(kv::get).put(kv::put).delete(kv::delete),
        )
        .route("/v1/leases", get(leases::list))
        .route(
            "/v1/leases/{lease}",
            get(leases::one).delete(leases::revoke),
        )
        .with_state(shared)
        .merge(administration);
    guarded(routes, limits)
}

/// Adds what holds for every path, known or not.
fn guarded(routes: Router, limits: Limits) -> Router {
    routes
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(from_fn_with_state(limits, layers::guard))
}

#[cfg(test)]
pub(crate) mod tests;
