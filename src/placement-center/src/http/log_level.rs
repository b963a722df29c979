//! `/v1/log-level`: reads and changes the log level while the node runs.
//!
//! The logging system belongs to the program that embeds the node; it hands in a [`LogLevel`].

use super::error::ApiError;
use super::{Shared, json_body};
use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use log::LevelFilter;
use serde::{Deserialize, Serialize};

/// The switch of the embedding program's logging system.
pub trait LogLevel: Send + Sync {
    /// The level in force.
    fn level(&self) -> LevelFilter;
    /// Changes it at once, for this process only; a restart goes back to the configured level.
    /// An error is a sentence for the operator.
    fn set_level(&self, level: LevelFilter) -> Result<(), String>;
}

/// The level of the `log` facade: enough for a program without a logging system of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct FacadeLevel;

impl LogLevel for FacadeLevel {
    fn level(&self) -> LevelFilter {
        log::max_level()
    }

    fn set_level(&self, level: LevelFilter) -> Result<(), String> {
        log::set_max_level(level);
        Ok(())
    }
}

/// The body in both directions.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    level: String,
}

impl Level {
    fn of(level: LevelFilter) -> Level {
        Level {
            level: level.as_str().to_ascii_lowercase(),
        }
    }
}

pub(super) async fn get(State(shared): State<Shared>) -> Json<Level> {
    Json(Level::of(shared.parts.log_level.level()))
}

pub(super) async fn put(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Json<Level>, ApiError> {
    let body = json_body::read(request, &shared.limits).await?;
    let level = parse(&body)?;
    shared.parts.log_level.set_level(level).map_err(|reason| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("the log level could not be changed: {reason}"),
            "the level is as before; see the server log",
        )
    })?;
    log::warn!("log level changed to {level} over HTTP");
    Ok(Json(Level::of(level)))
}

fn parse(body: &[u8]) -> Result<LevelFilter, ApiError> {
    const HINT: &str = "send {\"level\": \"debug\"}; levels: off, error, warn, info, debug, trace";
    let body: Level = json_body::parse(body, HINT)?;
    body.level
        .parse()
        .map_err(|_| ApiError::bad_request(format!("unknown log level {:?}", body.level), HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_parsed_or_refused() {
        assert_eq!(
            parse(br#"{"level":"debug"}"#).expect("a level"),
            LevelFilter::Debug
        );
        assert_eq!(
            parse(br#"{"level":"OFF"}"#).expect("a level"),
            LevelFilter::Off
        );
        let wrong: [&[u8]; 6] = [
            b"",
            b"debug",
            br#"{"level":"loud"}"#,
            br#"{"level":3}"#,
            br#"{"level":"info","x":1}"#,
            b"\xff",
        ];
        for body in wrong {
            assert_eq!(
                parse(body).expect_err("wrong").code(),
                "bad_request",
                "{body:?}"
            );
        }
    }
}
