//! `placement-ctl kv put`

use std::io::Read;

use bytes::Bytes;
use protocol::placement::v1::SetRequest;
use serde::Serialize;

use crate::ctl::Error;
use crate::ctl::arguments::{Put, bytes};
use crate::ctl::output::{Output, table};
use crate::ctl::session::{Effect, Session};

/// No server takes a larger value; the limit keeps an endless input from being read for ever.
const VALUE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Serialize)]
struct Written {
    revision: i64,
}

/// Writes one key.
pub async fn run(session: Session, output: &Output, put: &Put) -> Result<(), Error> {
    let value = if put.value == "-" {
        read_value(std::io::stdin().lock())?
    } else {
        bytes(&put.value)
    };
    let request = SetRequest {
        key: bytes(&put.key),
        value,
        expected_mod_revision: None,
    };
    let mut client = session.kv();
    let response = session
        .answer(Effect::Write, client.set(session.request(request)))
        .await?;
    output.print(
        &Written {
            revision: response.revision,
        },
        |written| table(&["REVISION"], [vec![written.revision.to_string()]]),
    )?;
    Ok(())
}

/// Reads a value to its end.
pub fn read_value(input: impl Read) -> Result<Bytes, Error> {
    let mut value = Vec::new();
    input
        .take(VALUE_BYTES_MAX + 1)
        .read_to_end(&mut value)
        .map_err(Error::Input)?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        return Err(Error::InputTooLarge(VALUE_BYTES_MAX));
    }
    Ok(value.into())
}
