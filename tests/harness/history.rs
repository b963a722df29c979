//! The check of a store against what a load remembers: nothing acknowledged is missing, nothing is
//! there that was never sent, and no revision is skipped.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use protocol::etcdserverpb::RangeRequest;
use protocol::mvccpb::KeyValue;

use crate::client::{self, Kv};
use crate::load::{Acknowledged, Record, Write};

/// Keys asked for at once; keeps answers around a megabyte.
const PAGE_KEYS: i64 = 2000;

/// What a check has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged writes found in place.
    pub acknowledged: usize,
    /// Writes of unknown outcome that turned out to be applied.
    pub applied_unanswered: usize,
    /// The store's revision.
    pub revision: i64,
}

/// Checks the store at `url`. `base` is the revision before the load began, `prefix` the load's own;
/// `acknowledged` must all be there, and of `sent` (all writes ever sent) any may be there.
///
/// Only the load may have written since `base`, one key a revision, so the revisions above `base` must
/// be exactly those of the load's writes, without a gap.
pub async fn verify(
    url: &str,
    prefix: &str,
    base: i64,
    acknowledged: &[Acknowledged],
    sent: &Record,
) -> Result<Verdict> {
    let mut kv = client::kv(url).await?;
    let revision = client::revision(&mut kv).await?;
    let mut seen = BTreeMap::new();
    for item in scan(&mut kv, prefix).await? {
        ensure!(
            item.value.starts_with(&item.key),
            "foreign value under {:?}",
            item.key
        );
        let before = seen.insert(item.mod_revision, (item.key, item.value));
        ensure!(
            before.is_none(),
            "two keys claim revision {}",
            item.mod_revision
        );
    }
    // Overwritten versions are not in the present state; the store must still answer for them.
    for known in acknowledged.iter().chain(&sent.acknowledged) {
        if known.revision <= revision && !seen.contains_key(&known.revision) {
            let found = at(&mut kv, &known.write.key, known.revision).await?;
            let found = found.with_context(|| format!("{known:?} is not in the history"))?;
            seen.insert(found.mod_revision, (found.key, found.value));
        }
    }
    for known in acknowledged {
        let found = seen.get(&known.revision);
        let (key, value) = found.with_context(|| format!("acknowledged {known:?} is lost"))?;
        let same = *key == known.write.key && *value == known.write.value;
        ensure!(
            same,
            "revision {} holds {key:?}, acknowledged was {known:?}",
            known.revision
        );
    }
    gapless(base, revision, seen.keys().copied())?;
    for refused in &sent.refused {
        let there = seen.values().any(|pair| is(pair, &refused.write));
        ensure!(
            !there,
            "{refused:?} was said not to be applied, and is there"
        );
    }
    Ok(Verdict {
        acknowledged: acknowledged.len(),
        applied_unanswered: sent
            .unanswered
            .iter()
            .filter(|lost| seen.values().any(|pair| is(pair, &lost.write)))
            .count(),
        revision,
    })
}

/// Fails unless `seen`, ascending, is every revision of `base + 1 ..= last` once.
fn gapless(base: i64, last: i64, seen: impl Iterator<Item = i64>) -> Result<()> {
    let mut expected = base + 1;
    for revision in seen {
        ensure!(
            revision == expected,
            "revision {expected} is missing, {revision} follows"
        );
        expected += 1;
    }
    ensure!(
        expected == last + 1,
        "revisions {expected}..={last} hold nothing of the load"
    );
    Ok(())
}

fn is(pair: &(Bytes, Bytes), write: &Write) -> bool {
    pair.0 == write.key && pair.1 == write.value
}

/// All keys under `prefix`, page by page at one revision.
pub async fn scan(kv: &mut Kv, prefix: &str) -> Result<Vec<KeyValue>> {
    let end = client::prefix_end(prefix.as_bytes());
    let mut from = Bytes::copy_from_slice(prefix.as_bytes());
    let mut revision = 0;
    let mut all = Vec::new();
    loop {
        let request = RangeRequest {
            key: from,
            range_end: end.clone(),
            limit: PAGE_KEYS,
            revision,
            ..RangeRequest::default()
        };
        let page = kv.range(request).await.context("scan")?.into_inner();
        if revision == 0 {
            revision = page.header.context("the answer has no header")?.revision;
        }
        all.extend(page.kvs);
        match all.last() {
            Some(last) if page.more => {
                let mut next = last.key.to_vec();
                next.push(0);
                from = next.into();
            }
            _ => return Ok(all),
        }
    }
}

async fn at(kv: &mut Kv, key: &Bytes, revision: i64) -> Result<Option<KeyValue>> {
    let request = RangeRequest {
        revision,
        ..client::get(key.clone())
    };
    let answer = kv
        .range(request)
        .await
        .with_context(|| format!("read at {revision}"))?;
    Ok(answer
        .into_inner()
        .kvs
        .into_iter()
        .next()
        .filter(|item| item.mod_revision == revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_at_each_end_and_inside_are_found() {
        assert!(gapless(3, 6, [4, 5, 6].into_iter()).is_ok());
        assert!(gapless(3, 6, [5, 6].into_iter()).is_err());
        assert!(gapless(3, 6, [4, 6].into_iter()).is_err());
        assert!(gapless(3, 6, [4, 5].into_iter()).is_err());
        assert!(gapless(3, 3, std::iter::empty()).is_ok());
    }
}
