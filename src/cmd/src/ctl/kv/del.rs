//! `placement-ctl kv del`

use protocol::placement::v1::DeleteRequest;
use serde::Serialize;

use crate::ctl::Error;
use crate::ctl::arguments::{Del, bytes};
use crate::ctl::output::{Output, escaped, table};
use crate::ctl::session::{Effect, Session};

#[derive(Serialize)]
struct Deleted {
    revision: i64,
}

/// Deletes one key.
pub async fn run(session: Session, output: &Output, del: &Del) -> Result<(), Error> {
    let key = bytes(&del.key);
    let request = DeleteRequest {
        key: key.clone(),
        expected_mod_revision: None,
    };
    let mut client = session.kv();
    let response = session
        .answer(Effect::Write, client.delete(session.request(request)))
        .await?;
    if !response.deleted {
        return Err(Error::NotFound(escaped(&key)));
    }
    output.print(
        &Deleted {
            revision: response.revision,
        },
        |deleted| table(&["REVISION"], [vec![deleted.revision.to_string()]]),
    )?;
    Ok(())
}
