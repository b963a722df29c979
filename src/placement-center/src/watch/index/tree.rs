//! Ranges of keys that may overlap, and which of them hold a key: a height-balanced tree in the order of the
//! ranges' starts, where each node knows how far the ranges below it reach. Finding costs the logarithm of the
//! number of ranges for each range found, whatever ranges clients choose.

use crate::watch::core::WatcherId;
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// All ranges.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Link,
}

type Link = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    start: Bytes,
    /// `None`: without end.
    end: Option<Bytes>,
    ids: BTreeSet<WatcherId>,
    /// Highest end in this subtree.
    reach: Option<Bytes>,
    height: u32,
    left: Link,
    right: Link,
}

impl Tree {
    pub(super) fn insert(&mut self, start: &Bytes, end: Option<&Bytes>, id: WatcherId) {
        insert(&mut self.root, (start, end), id);
    }

    pub(super) fn remove(&mut self, start: &Bytes, end: Option<&Bytes>, id: WatcherId) {
        remove(&mut self.root, (start, end), id);
    }

    /// Calls `found` with every id whose range holds `key`.
    pub(super) fn find(&self, key: &[u8], found: &mut impl FnMut(WatcherId)) {
        find(&self.root, key, found);
    }
}

type Range<'a> = (&'a Bytes, Option<&'a Bytes>);

fn compare(range: Range<'_>, node: &Node) -> Ordering {
    let by_start = range.0.cmp(&node.start);
    by_start.then_with(|| compare_ends(range.1, node.end.as_ref()))
}

fn compare_ends(one: Option<&Bytes>, other: Option<&Bytes>) -> Ordering {
    match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one), Some(other)) => one.cmp(other),
    }
}

fn insert(link: &mut Link, range: Range<'_>, id: WatcherId) {
    let Some(node) = link else {
        *link = Some(Box::new(Node {
            start: range.0.clone(),
            end: range.1.cloned(),
            ids: BTreeSet::from([id]),
            reach: range.1.cloned(),
            height: 1,
            left: None,
            right: None,
        }));
        return;
    };
    match compare(range, node) {
        Ordering::Equal => {
            node.ids.insert(id);
            return;
        }
        Ordering::Less => insert(&mut node.left, range, id),
        Ordering::Greater => insert(&mut node.right, range, id),
    }
    balance(link);
}

fn remove(link: &mut Link, range: Range<'_>, id: WatcherId) {
    let Some(node) = link else {
        return;
    };
    match compare(range, node) {
        Ordering::Less => remove(&mut node.left, range, id),
        Ordering::Greater => remove(&mut node.right, range, id),
        Ordering::Equal => {
            node.ids.remove(&id);
            if !node.ids.is_empty() {
                return;
            }
            let (left, mut right) = (node.left.take(), node.right.take());
            *link = match take_first(&mut right) {
                None => left,
                Some(mut next) => {
                    next.left = left;
                    next.right = right;
                    Some(next)
                }
            };
        }
    }
    balance(link);
}

/// Takes the first node of a subtree out of it.
fn take_first(link: &mut Link) -> Link {
    let node = link.as_mut()?;
    if node.left.is_some() {
        let first = take_first(&mut node.left);
        balance(link);
        return first;
    }
    let mut first = link.take()?;
    *link = first.right.take();
    Some(first)
}

fn find(link: &Link, key: &[u8], found: &mut impl FnMut(WatcherId)) {
    let Some(node) = link else {
        return;
    };
    let is_before = |end: &Option<Bytes>| end.as_ref().is_none_or(|end| key < end);
    if !is_before(&node.reach) {
        return;
    }
    find(&node.left, key, found);
    if node.start > key {
        return;
    }
    if is_before(&node.end) {
        node.ids.iter().copied().for_each(&mut *found);
    }
    find(&node.right, key, found);
}

fn height(link: &Link) -> u32 {
    link.as_ref().map_or(0, |node| node.height)
}

impl Node {
    /// Knows again what it says of its subtree, after its children changed.
    fn update(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let mut reach = &self.end;
        for child in [&self.left, &self.right].into_iter().flatten() {
            if compare_ends(child.reach.as_ref(), reach.as_ref()).is_gt() {
                reach = &child.reach;
            }
        }
        self.reach = reach.clone();
    }
}

/// Restores the balance of a subtree whose children are balanced and differ by two in height at most.
fn balance(link: &mut Link) {
    let Some(node) = link else {
        return;
    };
    let (left, right) = (height(&node.left), height(&node.right));
    if left > right + 1 {
        if let Some(child) = &node.left
            && height(&child.right) > height(&child.left)
        {
            rotate_left(&mut node.left);
        }
        rotate_right(link);
    } else if right > left + 1 {
        if let Some(child) = &node.right
            && height(&child.left) > height(&child.right)
        {
            rotate_right(&mut node.right);
        }
        rotate_left(link);
    } else {
        node.update();
    }
}

/// Lifts the left child over its parent.
fn rotate_right(link: &mut Link) {
    let Some(mut node) = link.take() else {
        return;
    };
    let Some(mut child) = node.left.take() else {
        *link = Some(node);
        return;
    };
    node.left = child.right.take();
    node.update();
    child.right = Some(node);
    child.update();
    *link = Some(child);
}

/// Lifts the right child over its parent.
fn rotate_left(link: &mut Link) {
    let Some(mut node) = link.take() else {
        return;
    };
    let Some(mut child) = node.right.take() else {
        *link = Some(node);
        return;
    };
    node.right = child.left.take();
    node.update();
    child.left = Some(node);
    child.update();
    *link = Some(child);
}

#[cfg(test)]
impl Tree {
    /// Checks what every node must know, and returns the height.
    pub(super) fn check(&self) -> u32 {
        check(&self.root)
    }
}

#[cfg(test)]
fn check(link: &Link) -> u32 {
    let Some(node) = link else {
        return 0;
    };
    let (left, right) = (check(&node.left), check(&node.right));
    assert!(left.abs_diff(right) <= 1, "a node is out of balance");
    assert_eq!(node.height, 1 + left.max(right), "a node knows its height");
    let ends = [&node.left, &node.right].into_iter().flatten();
    let ends = ends.map(|child| &child.reach).chain([&node.end]);
    let reach = ends.max_by(|one, other| compare_ends(one.as_ref(), other.as_ref()));
    assert_eq!(Some(&node.reach), reach, "a node knows its reach");
    assert!(!node.ids.is_empty(), "a node is there for somebody");
    node.height
}
