//! Parses what arrives in a URL: percent-encoded keys of any bytes, and queries whose every name is known.
//!
//! An unknown or repeated name is refused rather than ignored: a misspelt `?revison=` would otherwise
//! answer, silently, a different question.

use super::error::ApiError;
use http::Uri;
use percent_encoding::percent_decode;
use std::collections::BTreeMap;

/// The key behind `route_prefix` in the path, percent-decoded. Slashes may be written plainly.
pub fn key_of(uri: &Uri, route_prefix: &str) -> Result<Vec<u8>, ApiError> {
    let encoded = uri.path().strip_prefix(route_prefix).unwrap_or_default();
    if encoded.is_empty() {
        return Err(ApiError::bad_request(
            "the key is empty",
            "write the key behind /v1/kv/, percent-encoded; list keys with /v1/kv?prefix=",
        ));
    }
    decode(encoded)
}

/// Percent-decodes into bytes. A `%` that starts no escape is refused: guessing would change the key.
fn decode(encoded: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = encoded.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        let digit = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        *byte == b'%' && !(digit(1) && digit(2))
    });
    if broken {
        return Err(ApiError::bad_request(
            format!("bad percent-encoding in {encoded:?}"),
            "write a literal percent sign as %25",
        ));
    }
    Ok(percent_decode(bytes).collect())
}

/// The decoded query of one request.
#[derive(Debug, Default)]
pub struct Query {
    values: BTreeMap<String, Vec<u8>>,
}

impl Query {
    /// Parses `name=value` pairs (`+` is a space, as in forms); only `known` names, each at most once.
    pub fn parse(uri: &Uri, known: &[&str]) -> Result<Query, ApiError> {
        let mut values = BTreeMap::new();
        for pair in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decode(name)?).into_owned();
            if !known.contains(&name.as_str()) {
                let hint = match known {
                    [] => "this route takes no parameters".to_owned(),
                    _ => format!("this route takes: {}", known.join(", ")),
                };
                return Err(ApiError::bad_request(
                    format!("unknown parameter {name:?}"),
                    hint,
                ));
            }
            let value = decode(&value.replace('+', " "))?;
            if values.insert(name.clone(), value).is_some() {
                return Err(ApiError::bad_request(
                    format!("parameter {name} is given twice"),
                    "give each parameter once",
                ));
            }
        }
        Ok(Query { values })
    }

    /// The raw bytes of a parameter.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(Vec::as_slice)
    }

    /// A whole number in `0..=max`.
    pub fn number(&self, name: &str, max: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.bytes(name) else {
            return Ok(None);
        };
        let parsed = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        match parsed {
            Some(number) if number <= max => Ok(Some(number)),
            _ => Err(ApiError::bad_request(
                format!("parameter {name} is {:?}", String::from_utf8_lossy(value)),
                format!("{name} is a whole number from 0 to {max}"),
            )),
        }
    }

    /// `?name`, `?name=true`, `?name=1` are true; `false`, `0` and absence are false.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.bytes(name) {
            None | Some(b"false" | b"0") => Ok(false),
            Some(b"" | b"true" | b"1") => Ok(true),
            Some(other) => Err(ApiError::bad_request(
                format!("parameter {name} is {:?}", String::from_utf8_lossy(other)),
                format!("{name} is true or false"),
            )),
        }
    }

    /// `?consistency=`: whether the read may be answered locally, without asking the leader.
    pub fn serializable(&self) -> Result<bool, ApiError> {
        match self.bytes("consistency") {
            None | Some(b"linearizable") => Ok(false),
            Some(b"serializable") => Ok(true),
            Some(other) => Err(ApiError::bad_request(
                format!(
                    "parameter consistency is {:?}",
                    String::from_utf8_lossy(other)
                ),
                "consistency is linearizable (the default) or serializable",
            )),
        }
    }
}

/// Every value of `name` in a query of a health route. These routes follow etcd, where unknown names
/// are ignored and names may repeat, because probes of other people's tools add their own.
pub fn lenient_values<'a>(uri: &'a Uri, name: &'a str) -> impl Iterator<Item = &'a str> {
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter_map(move |pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (found == name).then_some(value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI of the test table")
    }

    #[test]
    fn keys_of_any_bytes_are_decoded() {
        let cases: [(&str, &[u8]); 6] = [
            ("/v1/kv/a", b"a"),
            ("/v1/kv/a/b", b"a/b"),
            ("/v1/kv/a%2Fb", b"a/b"),
            ("/v1/kv/%00%ff", b"\0\xff"),
            ("/v1/kv/a+b", b"a+b"),
            ("/v1/kv/100%25", b"100%"),
        ];
        for (path, key) in cases {
            assert_eq!(key_of(&uri(path), "/v1/kv/").expect(path), key, "{path}");
        }
    }

    #[test]
    fn broken_keys_are_refused() {
        for path in [
            "/v1/kv/",
            "/v1/kv/%",
            "/v1/kv/%4",
            "/v1/kv/%zz",
            "/v1/kv/a%2",
        ] {
            assert_eq!(
                key_of(&uri(path), "/v1/kv/").expect_err(path).code(),
                "bad_request",
                "{path}"
            );
        }
    }

    #[test]
    fn queries_are_read_by_name() {
        let query = Query::parse(
            &uri("/x?prefix=a+b%2B&limit=7&raw&keys_only=0"),
            &["prefix", "limit", "raw", "keys_only"],
        );
        let query = query.expect("a good query");
        assert_eq!(query.bytes("prefix"), Some(&b"a b+"[..]));
        assert_eq!(query.number("limit", 10).expect("in range"), Some(7));
        assert_eq!(query.number("revision", 10).expect("absent"), None);
        assert!(query.flag("raw").expect("a flag"));
        assert!(!query.flag("keys_only").expect("a flag"));
        assert!(!query.serializable().expect("the default"));
    }

    #[test]
    fn wrong_queries_are_refused() {
        let known = ["limit", "raw", "consistency"];
        for text in [
            "/x?limti=1",
            "/x?limit=1&limit=2",
            "/x?limit=%f",
            "/x?%ff=1",
        ] {
            assert!(Query::parse(&uri(text), &known).is_err(), "{text}");
        }
        for text in [
            "/x?limit=-1",
            "/x?limit=11",
            "/x?limit=",
            "/x?limit=1e3",
            "/x?limit=99999999999999999999",
        ] {
            let query = Query::parse(&uri(text), &known).expect(text);
            assert!(query.number("limit", 10).is_err(), "{text}");
        }
        let query =
            Query::parse(&uri("/x?raw=maybe&consistency=strong"), &known).expect("known names");
        assert!(query.flag("raw").is_err());
        assert!(query.serializable().is_err());
    }

    #[test]
    fn health_queries_may_repeat_and_carry_strangers() {
        let uri = uri("/health?x=1&exclude=NOSPACE&exclude=CORRUPT&verbose");
        assert_eq!(
            lenient_values(&uri, "exclude").collect::<Vec<_>>(),
            ["NOSPACE", "CORRUPT"]
        );
        assert_eq!(lenient_values(&uri, "verbose").count(), 1);
        assert_eq!(lenient_values(&uri, "absent").count(), 0);
    }
}
