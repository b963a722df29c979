//! `placement-ctl kv list`

use std::io::{self, Write};

use protocol::placement::v1::{Consistency, Item, ListPrefixRequest, ListPrefixResponse};
use serde::Serialize;

use crate::ctl::Error;
use crate::ctl::arguments::{List, bytes};
use crate::ctl::output::{ItemView, Output, escaped, shortened, table};
use crate::ctl::session::{Effect, Session};

/// Keys asked for at once with their values: 100 of the largest fit the largest answer taken.
const PAGE_KEYS_MAX: u32 = 100;

/// Keys asked for at once without values.
const PAGE_BARE_KEYS_MAX: u32 = 1000;

#[derive(Serialize)]
struct Listed {
    revision: i64,
    more: bool,
    items: Vec<ItemView>,
}

/// Keys read so far, all of one revision.
struct Found {
    revision: i64,
    more: bool,
    items: Vec<Item>,
}

impl Found {
    fn add(&mut self, page: ListPrefixResponse) {
        if self.revision == 0 {
            self.revision = page.revision;
        }
        // A page that is empty although more is said to follow would be asked for again and again.
        self.more = page.more && !page.items.is_empty();
        self.items.extend(page.items);
    }
}

/// Lists keys.
pub async fn run(session: Session, output: &Output, list: &List) -> Result<(), Error> {
    let found = read(&session, list).await?;
    let listed = Listed {
        revision: found.revision,
        more: found.more,
        items: found
            .items
            .iter()
            .map(|item| ItemView::new(item, !list.keys_only))
            .collect(),
    };
    output.print(&listed, |_| {
        if list.keys_only {
            keys_table(&found.items)
        } else {
            items_table(&found.items)
        }
    })?;
    if found.more {
        // The note is for a person; without one to read it, nothing is lost.
        let _ = writeln!(
            io::stderr(),
            "only the first {} keys; --limit 0 lists all",
            found.items.len()
        );
    }
    Ok(())
}

/// Reads page after page, later ones at the revision of the first, so that the list is of one moment.
async fn read(session: &Session, list: &List) -> Result<Found, Error> {
    let mut client = session.kv();
    let mut found = Found {
        revision: list.revision,
        more: true,
        items: Vec::new(),
    };
    let page_max = if list.keys_only {
        PAGE_BARE_KEYS_MAX
    } else {
        PAGE_KEYS_MAX
    };
    while found.more && (list.limit == 0 || (found.items.len() as u64) < list.limit) {
        let wanted = match list.limit {
            0 => page_max,
            limit => u32::try_from(limit - found.items.len() as u64)
                .map_or(page_max, |rest| rest.min(page_max)),
        };
        let request = ListPrefixRequest {
            prefix: bytes(&list.prefix),
            limit: wanted,
            after_key: found
                .items
                .last()
                .map(|item| item.key.clone())
                .unwrap_or_default(),
            consistency: Consistency::Linearizable.into(),
            revision: found.revision,
            keys_only: list.keys_only,
        };
        let page = session
            .answer(Effect::Read, client.list_prefix(session.request(request)))
            .await?;
        found.add(page);
    }
    Ok(found)
}

fn keys_table(items: &[Item]) -> String {
    table(&["KEY"], items.iter().map(|item| vec![escaped(&item.key)]))
}

fn items_table(items: &[Item]) -> String {
    let row = |item: &Item| {
        vec![
            escaped(&item.key),
            shortened(&item.value),
            item.version.to_string(),
            item.mod_revision.to_string(),
        ]
    };
    table(
        &["KEY", "VALUE", "VERSION", "MODIFIED"],
        items.iter().map(row),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_page_ends_the_list_and_the_first_page_sets_the_revision() {
        let page = |revision, keys: &[&'static str], more| ListPrefixResponse {
            revision,
            items: keys
                .iter()
                .map(|key| Item {
                    key: (*key).into(),
                    ..Item::default()
                })
                .collect(),
            more,
        };
        let mut found = Found {
            revision: 0,
            more: true,
            items: Vec::new(),
        };
        found.add(page(7, &["a"], true));
        assert!(found.more);
        found.add(page(9, &["b"], true));
        assert_eq!((found.revision, found.items.len()), (7, 2));
        found.add(page(9, &[], true));
        assert!(!found.more, "nothing would ever come");
    }
}
