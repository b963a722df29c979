//! Rules on text that is not Rust: lines, scripts, documents and what they point at.

use std::path::{Component, Path};

use toml::{Table, Value};

use crate::finding::Finding;
use crate::tree::{File, Tree};

/// Columns of a line. Of Rust only comments are judged, the code is rustfmt's; a message stays on one line
/// so that it can be searched for, and tables in documents and settings are as wide as they are.
const COLUMNS_MAX: usize = 120;
/// Files whose text is not ours to format.
const FOREIGN: [&str; 2] = ["LICENSE", "Cargo.lock"];

/// No tabs, no trailing spaces, no lines wider than a screen, a newline at the end.
pub fn lines(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if FOREIGN.contains(&path) {
        return findings;
    }
    let tabs = path == "Makefile";
    let wide = [".md", ".toml", ".txt"]
        .iter()
        .any(|end| path.ends_with(end));
    for (index, line) in text.split('\n').enumerate() {
        let mut add = |message: &str| findings.push(Finding::at(path, index + 1, "", message));
        if line.contains('\t') && !tabs {
            add("a tab: indent with spaces");
        }
        if line.ends_with([' ', '\t', '\r']) {
            add("a space at the end of the line");
        }
        let formatted = path.ends_with(".rs") && !line.trim_start().starts_with("//");
        let quoted = line.contains(['"', '`']) || line.contains("://");
        if !wide && !formatted && !quoted && line.chars().count() > COLUMNS_MAX {
            add("more than 120 columns");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::file(path, "no newline at the end"));
    }
    findings
}

/// A shell script stops at the first error and can be executed.
pub fn script(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shell = file
        .text
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"));
    if !shell && !file.path.ends_with(".sh") {
        return findings;
    }
    if !file.text.lines().any(|line| line == "set -euo pipefail") {
        findings.push(Finding::file(&file.path, "no line `set -euo pipefail`"));
    }
    if !shell || !file.executable {
        findings.push(Finding::file(
            &file.path,
            "a script has a `#!` line and the mode of a program",
        ));
    }
    findings
}

/// Links of documents lead to files and headings that exist.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in documents(tree) {
        for (line, target) in link_targets(&file.text) {
            if !resolves(tree, &file.path, &target) {
                findings.push(Finding::at(
                    &file.path,
                    line,
                    &target,
                    format!("`{target}` leads nowhere"),
                ));
            }
        }
    }
    findings
}

/// Paths that documents name between backquotes exist.
pub fn paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in documents(tree) {
        for (line, path) in quoted(&file.text).filter(|(_, word)| is_own_path(word)) {
            if !tree.has(path.trim_end_matches('/')) {
                findings.push(Finding::at(
                    &file.path,
                    line,
                    path,
                    format!("there is no `{path}`"),
                ));
            }
        }
    }
    findings
}

/// `make` targets that documents name exist.
pub fn make_targets(tree: &Tree) -> Vec<Finding> {
    let makefile = tree.text("Makefile");
    let mut findings = Vec::new();
    for file in documents(tree) {
        for (line, command) in quoted(&file.text) {
            let target = command
                .strip_prefix("make ")
                .and_then(|rest| rest.split(' ').next());
            if let Some(target) =
                target.filter(|target| !makefile.contains(&format!("\n{target}:")))
            {
                findings.push(Finding::at(
                    &file.path,
                    line,
                    target,
                    format!("there is no `make {target}`"),
                ));
            }
        }
    }
    findings
}

/// The changelog has a section for the version that is built.
pub fn changelog(version_ini: &str, changelog: &str) -> Vec<Finding> {
    let version = version_ini
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .unwrap_or("?");
    let heading = format!("## {version}");
    if changelog
        .lines()
        .any(|line| line == heading || line.starts_with(&format!("{heading} ")))
    {
        return Vec::new();
    }
    vec![Finding::file(
        "CHANGELOG.md",
        format!("no section `{heading}`"),
    )]
}

/// Every key of the configuration file stands in the manual, as `` `key` `` or `` `section.key` ``.
pub fn undocumented_keys(configuration: &str, manual: &str) -> Vec<Finding> {
    let table: Table = configuration
        .parse()
        .expect("a test of `cmd` loads this file");
    let mut keys = Vec::new();
    for (name, value) in &table {
        match value {
            // `nodes` is one key whose value is a table.
            Value::Table(section) if name != "nodes" => {
                keys.extend(section.keys().map(|key| format!("{name}.{key}")));
            }
            _ => keys.push(name.clone()),
        }
    }
    keys.iter()
        .filter(|key| !manual.contains(&format!("`{key}`")))
        .map(|key| {
            Finding::file(
                "docs/operations.md",
                format!("the key `{key}` is not documented"),
            )
        })
        .collect()
}

fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with(".md"))
}

/// Lines outside of fenced blocks, with their numbers.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

fn link_targets(text: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    for (number, line) in prose_lines(text) {
        for (at, mark) in line.match_indices("](") {
            let rest = &line[at + mark.len()..];
            if let Some(end) = rest.find(')') {
                targets.push((number, rest[..end].to_owned()));
            }
        }
    }
    targets
}

/// What stands between backquotes on one line.
fn quoted(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose_lines(text).flat_map(|(number, line)| {
        line.split('`')
            .skip(1)
            .step_by(2)
            .map(move |word| (number, word))
    })
}

fn is_own_path(word: &str) -> bool {
    let rooted = [
        "src/", "tests/", "docs/", "config/", "bin/", "benches/", "example/", ".ci/", ".config/",
    ];
    rooted.iter().any(|root| word.starts_with(root)) && !word.contains(['*', ' ', '<', '{', '$'])
}

fn resolves(tree: &Tree, document: &str, target: &str) -> bool {
    if target.starts_with("https://") || target.starts_with("http://") {
        return true;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match path {
        "" => document.to_owned(),
        path => normal(&Path::new(document).with_file_name("").join(path)),
    };
    let file = tree.files.iter().find(|file| file.path == path);
    match file {
        Some(file) if !anchor.is_empty() => headings(&file.text).any(|heading| heading == anchor),
        found => found.is_some() || (!path.is_empty() && tree.has(&path)),
    }
}

/// The anchors of a document's headings, as web views of repositories make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose_lines(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            _ => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
#[path = "prose/tests.rs"]
mod tests;
