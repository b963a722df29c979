//! The HTTP API as the administration commands use it: which member is asked, for how long, and what an
//! answer that is no success means.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use super::Error;
use super::endpoint::{Endpoint, Endpoints};
use super::session::connect_time;

/// What became of a request that failed.
const OUTCOME_HEADER: &str = "placement-outcome";

/// A client of the HTTP API.
#[derive(Debug)]
pub struct Client {
    endpoints: Endpoints,
    agent: Agent,
    time: Duration,
}

/// How the server words a failure.
#[derive(Debug, Deserialize)]
struct Failure {
    code: String,
    message: String,
    hint: String,
}

impl Client {
    /// Talks to the first of these endpoints that answers, and waits this long for each answer.
    pub fn new(endpoints: Endpoints, time: Duration) -> Client {
        let config = Agent::config_builder()
            .timeout_global(Some(time))
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy of the environment is for the outside, not for this machine and its neighbours.
            .proxy(None)
            .max_idle_connections(0)
            .build();
        Client {
            endpoints,
            agent: config.into(),
            time,
        }
    }

    /// Reads.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(&Method::GET, path, None)
    }

    /// Changes something, with or without a body.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<T, Error> {
        self.ask(&Method::POST, path, body)
    }

    /// Removes.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(&Method::DELETE, path, None)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let endpoint = self.reachable()?;
        let failed = |error| self.failed(endpoint, method, error);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", endpoint.uri()));
        let response = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        let mut response = response.map_err(failed)?;
        if !response.status().is_success() {
            return Err(declined(endpoint, &mut response));
        }
        let text = response.body_mut().read_to_string().map_err(failed)?;
        serde_json::from_str(&text).map_err(|error| Error::Strange {
            endpoint: endpoint.to_string(),
            reason: error.to_string(),
        })
    }

    /// The first endpoint that accepts a connection. Whatever fails later may have reached the server, so
    /// no other is tried then.
    fn reachable(&self) -> Result<&Endpoint, Error> {
        let time = connect_time(&self.endpoints, self.time);
        let mut refusals = Vec::new();
        for endpoint in self.endpoints.iter() {
            match connect(endpoint, time) {
                Ok(()) => return Ok(endpoint),
                Err(reason) => refusals.push((endpoint, reason)),
            }
        }
        Err(Error::HttpUnreachable(Box::new(Error::unreachable(
            &refusals,
        ))))
    }

    fn failed(&self, endpoint: &Endpoint, method: &Method, error: ureq::Error) -> Error {
        let endpoint = endpoint.to_string();
        match error {
            ureq::Error::Timeout(_) => Error::Timeout {
                endpoint,
                time: self.time,
                write: method != Method::GET,
            },
            other => Error::Declined {
                endpoint,
                message: "the connection broke off".to_owned(),
                code: other.to_string(),
                hint: String::new(),
                outcome_unknown: method != Method::GET,
            },
        }
    }
}

fn connect(endpoint: &Endpoint, time: Duration) -> Result<(), String> {
    let addresses = endpoint
        .address()
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    let mut reason = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, time) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                reason = "connection refused".to_owned();
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                reason = format!("no connection within {time:?}");
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

fn declined(endpoint: &Endpoint, response: &mut Response<Body>) -> Error {
    let outcome = response.headers().get(OUTCOME_HEADER);
    let outcome_unknown = outcome.is_some_and(|outcome| outcome == "unknown");
    let status = response.status();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    match serde_json::from_str::<Failure>(&text) {
        Ok(failure) => Error::Declined {
            endpoint: endpoint.to_string(),
            message: failure.message,
            code: failure.code,
            hint: failure.hint,
            outcome_unknown,
        },
        Err(_) => Error::Strange {
            endpoint: endpoint.to_string(),
            reason: format!("status {status}"),
        },
    }
}
