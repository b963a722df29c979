//! The rules. Each says `Err` with how it is broken.

use super::{Change, Past, Told, Watched};
use std::collections::BTreeSet;

type Rule = fn(&Past, &Watched) -> Result<(), String>;

/// All rules, by name.
pub(super) const ALL: [(&str, Rule); 9] = [
    ("filter", filter),
    ("ordered", ordered),
    ("unique", unique),
    ("atomic", atomic),
    ("resumable", resumable),
    ("reliable", reliable),
    ("bookmarkable", bookmarkable),
    ("previous", previous),
    ("created", created),
];

fn events(watched: &Watched) -> impl Iterator<Item = &Change> {
    watched.told.iter().flat_map(batch)
}

fn batch(told: &Told) -> &[Change] {
    match told {
        Told::Events(events) => events,
        _ => &[],
    }
}

/// Where the change of an event stands among all changes.
fn place(past: &Past, event: &Change) -> Option<usize> {
    let first = past
        .changes
        .partition_point(|change| change.revision < event.revision);
    let rest = past.changes[first..].iter();
    let mut rest = rest.take_while(|change| change.revision == event.revision);
    Some(first + rest.position(|change| change.key == event.key)?)
}

/// Nothing is told that was not asked for.
fn filter(_: &Past, watched: &Watched) -> Result<(), String> {
    match events(watched).find(|event| !watched.wish.wants(event)) {
        Some(event) => Err(format!("{event:?} was told to {:?}", watched.wish)),
        None => Ok(()),
    }
}

/// Events come in the order of the changes, within a revision too.
fn ordered(past: &Past, watched: &Watched) -> Result<(), String> {
    let rank = |event: &Change| (event.revision, place(past, event));
    let told: Vec<&Change> = events(watched).collect();
    match told.windows(2).find(|pair| rank(pair[0]) > rank(pair[1])) {
        Some(pair) => Err(format!("{:?} was told before {:?}", pair[0], pair[1])),
        None => Ok(()),
    }
}

/// No change is told twice.
fn unique(_: &Past, watched: &Watched) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match events(watched).find(|event| !seen.insert((event.revision, &event.key))) {
        Some(event) => Err(format!("{event:?} was told again")),
        None => Ok(()),
    }
}

/// The events of a revision come together.
fn atomic(_: &Past, watched: &Watched) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for told in &watched.told {
        let revisions: BTreeSet<i64> = batch(told).iter().map(|event| event.revision).collect();
        if let Some(revision) = revisions.iter().find(|revision| seen.contains(*revision)) {
            return Err(format!("revision {revision} came in parts"));
        }
        seen.extend(revisions);
    }
    Ok(())
}

/// The first event is the first that was asked for, so that a client can go on where another stopped.
fn resumable(past: &Past, watched: &Watched) -> Result<(), String> {
    let Some(first) = events(watched).next() else {
        return Ok(());
    };
    match past
        .changes
        .iter()
        .find(|change| watched.wish.wants(change))
    {
        Some(due) if (due.revision, &due.key) == (first.revision, &first.key) => Ok(()),
        due => Err(format!("{first:?} was told first, and not {due:?}")),
    }
}

/// Between two events nothing is left out, and what is told is what happened.
fn reliable(past: &Past, watched: &Watched) -> Result<(), String> {
    let mut told = events(watched).peekable();
    let Some(first) = told.peek().map(|event| event.revision) else {
        return Ok(());
    };
    let due = past.changes.iter();
    let mut due = due.filter(|change| change.revision >= first && watched.wish.wants(change));
    for event in told {
        match due.next() {
            Some(due) if same(due, event) => {}
            due => return Err(format!("{event:?} was told where {due:?} was due")),
        }
    }
    Ok(())
}

/// The change itself, apart from what was before.
fn same(change: &Change, event: &Change) -> bool {
    (change.revision, &change.key, &change.now) == (event.revision, &event.key, &event.now)
}

/// A watcher that was told of progress up to a revision has been told everything up to it, and is told nothing
/// of it afterwards. One that was told of a compaction had something to lose.
fn bookmarkable(past: &Past, watched: &Watched) -> Result<(), String> {
    let (mut newest, mut progress) = (0, 0);
    for told in &watched.told {
        match told {
            Told::Events(events) => {
                if let Some(event) = events.iter().find(|event| event.revision <= progress) {
                    return Err(format!(
                        "{event:?} was told after progress up to {progress}"
                    ));
                }
                newest = events.last().map_or(newest, |event| event.revision);
            }
            Told::Progress(revision) => {
                let due = past.changes.iter();
                let mut due =
                    due.filter(|change| (newest + 1..=*revision).contains(&change.revision));
                if let Some(change) = due.find(|change| watched.wish.wants(change)) {
                    return Err(format!(
                        "progress up to {revision} was told before {change:?}"
                    ));
                }
                if *revision < watched.wish.start - 1 {
                    return Err(format!(
                        "progress up to {revision} was told before the start"
                    ));
                }
                progress = progress.max(*revision);
            }
            Told::Compacted(revision) => {
                let next = watched.wish.start.max(newest + 1);
                if *revision <= next.max(progress) {
                    return Err(format!(
                        "it ended by a compaction at {revision}, but had seen all below {next}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The version before a change is told as it was, to those who asked, unless it is compacted.
fn previous(past: &Past, watched: &Watched) -> Result<(), String> {
    for event in events(watched) {
        let Some(place) = place(past, event) else {
            continue;
        };
        let before = &past.changes[place].before;
        let may_miss = !watched.wish.previous || event.revision <= past.compacted;
        let is_right = match &event.before {
            Some(told) => watched.wish.previous && Some(told) == before.as_ref(),
            None => before.is_none() || may_miss,
        };
        if !is_right {
            return Err(format!("{event:?} was told, and before it was {before:?}"));
        }
    }
    Ok(())
}

/// An event says of a key that it is new exactly when it did not exist before.
fn created(past: &Past, watched: &Watched) -> Result<(), String> {
    for event in events(watched) {
        let (Some(now), Some(place)) = (&event.now, place(past, event)) else {
            continue;
        };
        let is_new = past.changes[place].before.is_none();
        let says_new = now.create_revision == event.revision;
        if is_new != says_new || says_new != (now.version == 1) {
            return Err(format!("{event:?} was told of a key that is new: {is_new}"));
        }
    }
    Ok(())
}
