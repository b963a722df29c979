//! Reading: exact values, bounds, directions, seeks, views that stand still.

use super::node::{KEYS, Node, OTHER, commit, on_both};
use storage::{Order, Read, Result, Stores};

/// Every entry of a scan, as text.
pub fn entries<R: Read>(
    reader: &R,
    start: &str,
    end: Option<&str>,
    order: Order,
) -> Result<Vec<String>> {
    let end = end.map(str::as_bytes);
    let mut cursor = reader.scan(KEYS, start.as_bytes(), end, order)?;
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.entry() {
        let text = String::from_utf8_lossy;
        found.push(format!("{}={}", text(key), text(value)));
        cursor.advance()?;
    }
    cursor.advance()?;
    assert_eq!(cursor.entry(), None, "past the end a cursor stays there");
    Ok(found)
}

fn fill(stores: &mut Stores) -> Result<()> {
    commit(stores, |batch| {
        for key in ["a", "b", "ba", "bb", "c", "e"] {
            batch.put(KEYS, key.as_bytes(), key.to_uppercase().as_bytes());
        }
        batch.put(OTHER, b"b", b"other");
    })?;
    Ok(())
}

fn check_values(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    fill(&mut stores)?;
    commit(&mut stores, |batch| {
        batch.delete(KEYS, b"c");
        batch.delete(KEYS, b"never there");
        batch.put(KEYS, b"", b"empty key");
        batch.put(KEYS, b"empty value", b"");
        batch.put(KEYS, b"a", b"again");
    })?;
    let view = stores.state.view();
    assert_eq!(view.get(KEYS, b"a")?.as_deref(), Some(&b"again"[..]));
    assert_eq!(view.get(KEYS, b"c")?, None);
    assert_eq!(view.get(KEYS, b"")?.as_deref(), Some(&b"empty key"[..]));
    assert_eq!(view.get(KEYS, b"empty value")?.as_deref(), Some(&b""[..]));
    assert!(view.exists(KEYS, b"empty value")? && view.exists(KEYS, b"")?);
    assert!(!view.exists(KEYS, b"c")? && !view.exists(KEYS, b"bc")?);
    assert_eq!(view.get(OTHER, b"b")?.as_deref(), Some(&b"other"[..]));
    assert_eq!(view.get(OTHER, b"a")?, None);
    Ok(())
}

#[test]
fn values_are_exact() {
    on_both(check_values);
}

fn check_ranges(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    fill(&mut stores)?;
    for flushed in [false, true] {
        if flushed {
            stores.state.flush()?;
        }
        let view = stores.state.view();
        let forward = |start, end| entries(&view, start, end, Order::Forward);
        let reverse = |start, end| entries(&view, start, end, Order::Reverse);
        assert_eq!(forward("", None)?.len(), 6);
        assert_eq!(forward("b", Some("c"))?, ["b=B", "ba=BA", "bb=BB"]);
        assert_eq!(reverse("b", Some("c"))?, ["bb=BB", "ba=BA", "b=B"]);
        assert_eq!(forward("bb", None)?, ["bb=BB", "c=C", "e=E"]);
        assert_eq!(reverse("bb", None)?, ["e=E", "c=C", "bb=BB"]);
        assert_eq!(forward("d", Some("e"))?, [""; 0]);
        assert_eq!(reverse("f", None)?, [""; 0]);
        assert_eq!(forward("b", Some("b"))?, [""; 0]);
        assert_eq!(reverse("c", Some("a"))?, [""; 0]);
    }
    Ok(())
}

#[test]
fn scans_respect_their_bounds() {
    on_both(check_ranges);
}

fn check_seeks(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    fill(&mut stores)?;
    let batch = stores.writer.begin();
    let view = batch.scan(KEYS, b"b", Some(b"d"), Order::Forward)?;
    check_seek_table(
        view,
        &[
            ("", "b"),
            ("bab", "bb"),
            ("c", "c"),
            ("cc", ""),
            ("z", ""),
            ("b", "b"),
        ],
    )?;
    let view = batch.scan(KEYS, b"b", Some(b"d"), Order::Reverse)?;
    check_seek_table(
        view,
        &[
            ("z", "c"),
            ("d", "c"),
            ("bz", "bb"),
            ("b", "b"),
            ("a", ""),
            ("c", "c"),
        ],
    )?;
    Ok(())
}

pub fn check_seek_table(mut cursor: storage::Cursor<'_>, table: &[(&str, &str)]) -> Result<()> {
    for (to, lands_on) in table {
        cursor.seek(to.as_bytes())?;
        let key = cursor.entry().map_or(&b""[..], |(key, _)| key);
        assert_eq!(String::from_utf8_lossy(key), *lands_on, "seek {to}");
    }
    Ok(())
}

#[test]
fn a_seek_never_leaves_the_bounds() {
    on_both(check_seeks);
}

fn check_view(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    fill(&mut stores)?;
    let state = stores.state.clone();
    let before = state.view();
    commit(&mut stores, |batch| {
        batch.put(KEYS, b"a", b"new");
        batch.delete(KEYS, b"e");
        batch.put(OTHER, b"x", b"new");
    })?;
    assert_eq!(before.get(KEYS, b"a")?.as_deref(), Some(&b"A"[..]));
    assert_eq!(entries(&before, "d", None, Order::Forward)?, ["e=E"]);
    assert_eq!(before.get(OTHER, b"x")?, None);
    let after = state.view();
    assert_eq!(after.get(KEYS, b"a")?.as_deref(), Some(&b"new"[..]));
    assert_eq!(after.get(OTHER, b"x")?.as_deref(), Some(&b"new"[..]));
    Ok(())
}

#[test]
fn a_view_stands_still_over_all_families() {
    on_both(check_view);
}
