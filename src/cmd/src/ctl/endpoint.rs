//! Where members listen: `host:port`, with `http://` before it or without, several with commas between.

use std::env;
use std::fmt;
use std::str::FromStr;

/// Names the endpoints when no flag does.
const VARIABLE: &str = "PLACEMENT_CTL_ENDPOINT";
const HTTP_VARIABLE: &str = "PLACEMENT_CTL_HTTP_ENDPOINT";

/// How far the HTTP port of a member is above its gRPC port, in our defaults and in config/cluster.
const HTTP_PORT_DISTANCE: u16 = 100;

/// Endpoints a command line may name: more is a mistake.
const ENDPOINTS_MAX: usize = 100;

const DEFAULT: &str = "127.0.0.1:8871";

/// A checked `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

/// One endpoint or more, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// The text of the environment variable, or the default. It is parsed like a flag's, so that a
    /// wrong one is wrong usage.
    pub fn from_environment() -> String {
        variable(VARIABLE).unwrap_or_else(|| DEFAULT.to_owned())
    }

    /// Each in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Endpoint> {
        self.0.iter()
    }

    /// Where the HTTP listeners of the same members are by convention.
    fn http(&self) -> Endpoints {
        Endpoints(self.iter().map(Endpoint::http).collect())
    }
}

/// HTTP endpoints, when some are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoints(Option<Endpoints>);

impl HttpEndpoints {
    /// The text of the environment variable, or nothing.
    pub fn from_environment() -> String {
        variable(HTTP_VARIABLE).unwrap_or_default()
    }

    /// Those that are named, or those of the members with these gRPC endpoints.
    pub fn or_beside(&self, grpc: &Endpoints) -> Endpoints {
        self.0.clone().unwrap_or_else(|| grpc.http())
    }
}

impl FromStr for HttpEndpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<HttpEndpoints, String> {
        let named = (!text.is_empty()).then(|| text.parse());
        Ok(HttpEndpoints(named.transpose()?))
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoints, String> {
        let endpoints: Vec<Endpoint> = text
            .split(',')
            .map(|endpoint| endpoint.trim().parse())
            .collect::<Result<_, _>>()?;
        if endpoints.len() > ENDPOINTS_MAX {
            return Err(format!("expected at most {ENDPOINTS_MAX} endpoints"));
        }
        Ok(Endpoints(endpoints))
    }
}

impl Endpoint {
    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.0
    }

    /// See [`Endpoints::http`]. A port too high for that stays, and nothing will answer there.
    fn http(&self) -> Endpoint {
        let raised = self.0.rsplit_once(':').and_then(|(host, port)| {
            let port: u16 = port.parse().ok()?;
            Some(format!("{host}:{}", port.checked_add(HTTP_PORT_DISTANCE)?))
        });
        Endpoint(raised.unwrap_or_else(|| self.0.clone()))
    }

    /// As a client library wants it.
    pub fn uri(&self) -> String {
        format!("http://{}", self.0)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        if text.starts_with("https://") {
            return Err(
                "this version does not speak TLS: give HOST:PORT or http://HOST:PORT".to_owned(),
            );
        }
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.strip_suffix('/').unwrap_or(address);
        let wrong = || format!("expected HOST:PORT such as {DEFAULT} or [::1]:8871");
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let port_valid = port.parse::<u16>().is_ok_and(|port| port > 0);
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host_valid = !host.is_empty()
            && (bracketed || !host.contains([':', '[', ']']))
            && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@".contains(c));
        if port_valid && host_valid {
            Ok(Endpoint(address.to_owned()))
        } else {
            Err(wrong())
        }
    }
}
