//! Requests of HTTP/1.1 that are wrong as text, as HTTP, or for the route they name.

use anyhow::{Context, Result, ensure};
use harness::random::Random;

const ROUTES: [&str; 10] = [
    "/health",
    "/livez",
    "/readyz",
    "/version",
    "/metrics",
    "/v1/status",
    "/v1/config",
    "/v1/log-level",
    "/v1/kv",
    "/v1/kv/a",
];

/// The bytes of one connection.
pub fn connection(random: &mut Random) -> Vec<u8> {
    let route = *random.pick(&ROUTES);
    let host = "Host: test\r\nConnection: close\r\n";
    let text = match random.below(13) {
        0 => {
            let length = random.below(3000) as usize;
            return random.bytes(length);
        }
        1 => format!("BREW {route} HTTP/1.1\r\n{host}\r\n"),
        2 => format!("GET {route} HTTP/9.9\r\n{host}\r\n"),
        3 => format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(20_000)),
        4 => format!(
            "GET {route} HTTP/1.1\r\n{host}X: {}\r\n\r\n",
            "h".repeat(70_000)
        ),
        5 => format!(
            "GET {route} HTTP/1.1\r\n{host}{}\r\n",
            "A: b\r\n".repeat(500)
        ),
        6 => format!("PUT /v1/kv/a HTTP/1.1\r\n{host}Content-Length: 99999999999\r\n\r\nx"),
        7 => format!("PUT /v1/kv/a HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\nx"),
        8 => format!("PUT /v1/kv/a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\nx"),
        9 => format!("GET /v1/kv/%zz%ff%00 HTTP/1.1\r\n{host}\r\n"),
        10 => format!("GET /v1/kv?limit=-5&prefix=%&revision=x HTTP/1.1\r\n{host}\r\n"),
        11 => {
            let body = "{\"level\":\u{7}[[[[";
            let length = body.len();
            format!("PUT /v1/log-level HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n{body}")
        }
        _ => format!("DELETE {route}/../../etc/passwd HTTP/1.1\r\n{host}\r\n"),
    };
    let mut bytes = text.into_bytes();
    // Some lose their end on the way.
    if random.one_in(5) {
        let keep = random.below(bytes.len() as u64) as usize;
        bytes.truncate(keep);
    }
    bytes
}

/// An answer, where there is one, must be a whole HTTP head that blames the client.
pub fn accept(sent: &[u8], answer: &[u8]) -> Result<()> {
    if answer.is_empty() {
        return Ok(());
    }
    let head = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
    let shown = String::from_utf8_lossy(&sent[..sent.len().min(100)]).into_owned();
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    let status: u16 = status
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("{shown:?} was answered with {head:?}"))?;
    // 501 and 505 are the proper words for a method or a version that nobody knows.
    let blamed = (400..500).contains(&status) || status == 501 || status == 505;
    // A cut request may still have been a whole and honest one.
    ensure!(
        blamed || status == 200,
        "{shown:?} was answered with {head:?}"
    );
    Ok(())
}
