//! `placement-ctl kv get`

use protocol::placement::v1::{Consistency, GetRequest};

use crate::ctl::Error;
use crate::ctl::arguments::{Get, bytes};
use crate::ctl::output::{ItemView, Output, escaped, table};
use crate::ctl::session::{Effect, Session};

/// Prints one key.
pub async fn run(session: Session, output: &Output, get: &Get) -> Result<(), Error> {
    let key = bytes(&get.key);
    let request = GetRequest {
        key: key.clone(),
        consistency: Consistency::Linearizable.into(),
        revision: get.revision,
    };
    let mut client = session.kv();
    let response = session
        .answer(Effect::Read, client.get(session.request(request)))
        .await?;
    let Some(item) = response.item else {
        return Err(Error::NotFound(escaped(&key)));
    };
    if output.bare() {
        output.bytes(&item.value)?;
        return Ok(());
    }
    output.print(&ItemView::new(&item, true), |_| {
        let row = vec![
            escaped(&item.key),
            escaped(&item.value),
            item.version.to_string(),
            item.create_revision.to_string(),
            item.mod_revision.to_string(),
        ];
        table(&["KEY", "VALUE", "VERSION", "CREATED", "MODIFIED"], [row])
    })?;
    Ok(())
}
