//! Every rule is broken once on purpose, and only that rule notices, or those that must notice with it.

use super::*;

fn version(revision: i64, create_revision: i64, version: i64) -> Version {
    Version {
        revision,
        create_revision,
        version,
        value: format!("v{revision}").into_bytes(),
    }
}

fn change(revision: i64, key: &str, now: Option<Version>, before: Option<Version>) -> Change {
    Change {
        revision,
        key: key.as_bytes().to_vec(),
        now,
        before,
    }
}

/// `a` is put twice, deleted, and put again; `b` changes along with it.
fn past() -> Past {
    let first = version(2, 2, 1);
    let second = version(3, 2, 2);
    Past {
        changes: vec![
            change(2, "a", Some(first.clone()), None),
            change(3, "a", Some(second.clone()), Some(first)),
            change(3, "b", Some(version(3, 3, 1)), None),
            change(4, "a", None, Some(second)),
            change(5, "a", Some(version(5, 5, 1)), None),
        ],
        compacted: 0,
    }
}

fn wish() -> Wish {
    Wish {
        key: b"a".to_vec(),
        range_end: b"c".to_vec(),
        start: 2,
        previous: true,
        ..Wish::default()
    }
}

/// What a watcher of everything is rightly told: a batch for each revision.
fn told() -> Vec<Told> {
    let changes = past().changes;
    let batches = [2, 3, 4, 5].map(|revision| {
        let of = changes.iter().filter(|change| change.revision == revision);
        Told::Events(of.cloned().collect())
    });
    batches.to_vec()
}

fn broken(wish: Wish, told: Vec<Told>) -> Vec<&'static str> {
    let broken = check(&past(), &Watched { wish, told });
    broken.into_iter().map(|broken| broken.rule).collect()
}

fn edited(edit: impl FnOnce(&mut Vec<Told>)) -> Vec<&'static str> {
    let mut told = told();
    edit(&mut told);
    broken(wish(), told)
}

fn batch(told: &mut [Told], place: usize) -> &mut Vec<Change> {
    match &mut told[place] {
        Told::Events(events) => events,
        other => panic!("no events but {other:?}"),
    }
}

#[test]
fn what_happened_may_be_told() {
    assert_eq!(edited(|_| {}), [""; 0]);
    // All of the past in one batch, and only a part of it so far.
    let together = told().into_iter().flat_map(|told| match told {
        Told::Events(events) => events,
        _ => Vec::new(),
    });
    assert_eq!(
        broken(wish(), vec![Told::Events(together.collect())]),
        [""; 0]
    );
    assert_eq!(edited(|told| told.truncate(2)), [""; 0]);
    assert_eq!(edited(|told| told.insert(1, Told::Progress(2))), [""; 0]);
    assert_eq!(edited(|told| told.push(Told::Progress(9))), [""; 0]);
    let compacted = |told: &mut Vec<Told>| {
        told.truncate(1);
        told.push(Told::Compacted(4));
    };
    assert_eq!(edited(compacted), [""; 0]);
}

#[test]
fn each_rule_notices() {
    let filtered = Wish {
        no_delete: true,
        ..wish()
    };
    assert_eq!(broken(filtered, told()), ["filter", "reliable"]);
    let elsewhere = Wish {
        range_end: Vec::new(),
        ..wish()
    };
    assert_eq!(broken(elsewhere, told()), ["filter", "reliable"]);
    let later = Wish { start: 3, ..wish() };
    assert_eq!(broken(later, told()), ["filter", "resumable", "reliable"]);
    assert_eq!(
        edited(|told| batch(told, 1).reverse()),
        ["ordered", "reliable"]
    );
    assert_eq!(edited(|told| told.swap(1, 2)), ["ordered", "reliable"]);
    let again = |told: &mut Vec<Told>| told.insert(1, told[0].clone());
    assert_eq!(edited(again), ["unique", "atomic", "reliable"]);
    let parted = |told: &mut Vec<Told>| {
        let last = batch(told, 1).pop().expect("two events");
        told.insert(2, Told::Events(vec![last]));
    };
    assert_eq!(edited(parted), ["atomic"]);
    assert_eq!(edited(|told| drop(told.remove(0))), ["resumable"]);
    assert_eq!(edited(|told| drop(told.remove(1))), ["reliable"]);
    assert_eq!(edited(|told| drop(batch(told, 1).pop())), ["reliable"]);
    let altered = |told: &mut Vec<Told>| {
        batch(told, 1)[0].now.as_mut().expect("a put").value = b"other".to_vec();
    };
    assert_eq!(edited(altered), ["reliable"]);
}

#[test]
fn bookmarks_and_endings_are_checked() {
    let ahead = |told: &mut Vec<Told>| told.insert(1, Told::Progress(3));
    assert_eq!(edited(ahead), ["bookmarkable"]);
    let at_last = |told: &mut Vec<Told>| {
        told.truncate(3);
        told.push(Told::Progress(5));
    };
    assert_eq!(edited(at_last), ["bookmarkable"]);
    let early = Wish { start: 9, ..wish() };
    assert_eq!(broken(early, vec![Told::Progress(7)]), ["bookmarkable"]);
    let needless = |told: &mut Vec<Told>| {
        told.truncate(2);
        told.push(Told::Compacted(4));
    };
    assert_eq!(edited(needless), ["bookmarkable"]);
}

#[test]
fn versions_before_and_new_keys_are_checked() {
    let missing = |told: &mut Vec<Told>| batch(told, 2)[0].before = None;
    assert_eq!(edited(missing), ["previous"]);
    let unasked = Wish {
        previous: false,
        ..wish()
    };
    assert_eq!(broken(unasked, told()), ["previous"]);
    let wrong = |told: &mut Vec<Told>| batch(told, 2)[0].before = Some(version(2, 2, 1));
    assert_eq!(edited(wrong), ["previous"]);
    let old = |told: &mut Vec<Told>| {
        batch(told, 3)[0]
            .now
            .as_mut()
            .expect("a put")
            .create_revision = 2;
    };
    assert_eq!(edited(old), ["reliable", "created"]);
    let mut compacted = past();
    compacted.compacted = 4;
    let mut told = told();
    batch(&mut told, 2)[0].before = None;
    let wish = wish();
    assert_eq!(check(&compacted, &Watched { wish, told }), []);
}
