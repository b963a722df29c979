//! Were watchers told what happened? A black-box checker: it knows what the store went through and what a
//! watcher was told, and nothing of how the one became the other.
//!
//! Nine rules, each of its own, so that a violation names what is broken.

mod rules;

/// A key at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Revision of the change that made it.
    pub revision: i64,
    /// Revision that created this incarnation of the key.
    pub create_revision: i64,
    /// Changes since creation.
    pub version: i64,
    /// Its value.
    pub value: Vec<u8>,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its revision.
    pub revision: i64,
    /// The key.
    pub key: Vec<u8>,
    /// What it is from then on; `None` when it was deleted.
    pub now: Option<Version>,
    /// What it was; `None` when it did not exist.
    pub before: Option<Version>,
}

/// What a watcher asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// First key.
    pub key: Vec<u8>,
    /// As on the wire: nothing for a single key, a zero byte for no end.
    pub range_end: Vec<u8>,
    /// First revision, never 0: one that begins now begins behind the revision it was told at its creation.
    pub start: i64,
    /// Without puts.
    pub no_put: bool,
    /// Without deletes.
    pub no_delete: bool,
    /// With the version before.
    pub previous: bool,
}

/// Something that a watcher was told. The parts of a split answer count as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Changes; `before` is what was told of it.
    Events(Vec<Change>),
    /// It has been told everything up to this revision.
    Progress(i64),
    /// It ended: what it had yet to be told is forgotten, up to this revision.
    Compacted(i64),
}

/// One watcher from its beginning to its end.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What it asked for.
    pub wish: Wish,
    /// What it was told, in order.
    pub told: Vec<Told>,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: &'static str,
    /// How.
    pub how: String,
}

/// What happened, in order, and the highest revision that was compacted.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// All changes.
    pub changes: Vec<Change>,
    /// Versions from below this revision may be missing where they are only the version before a change.
    pub compacted: i64,
}

impl Wish {
    /// Whether the watcher is to be told of a change.
    pub fn wants(&self, change: &Change) -> bool {
        let within = match &self.range_end[..] {
            [] => change.key == self.key,
            [0] => change.key >= self.key,
            end => change.key >= self.key && &change.key[..] < end,
        };
        let kind = match change.now {
            Some(_) => !self.no_put,
            None => !self.no_delete,
        };
        within && kind && change.revision >= self.start
    }
}

/// Checks one watcher against what happened; every rule that it breaks, once.
pub fn check(past: &Past, watched: &Watched) -> Vec<Broken> {
    let broken = rules::ALL.iter().filter_map(|(rule, holds)| {
        let how = holds(past, watched).err()?;
        Some(Broken { rule, how })
    });
    broken.collect()
}

#[cfg(test)]
mod tests;
