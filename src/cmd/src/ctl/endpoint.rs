//! Where a member listens: `host:port`, with `http://` before it or without.

use std::env;
use std::fmt;
use std::str::FromStr;

/// Names the endpoint when no flag does.
const VARIABLE: &str = "PLACEMENT_CTL_ENDPOINT";

const DEFAULT: &str = "127.0.0.1:8871";

/// A checked `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// The text of the environment variable, or the default. It is parsed like a flag's, so that a
    /// wrong one is wrong usage.
    pub fn from_environment() -> String {
        env::var(VARIABLE)
            .ok()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| DEFAULT.to_owned())
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
