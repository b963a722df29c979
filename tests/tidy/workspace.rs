//! Rules on how the workspace is cut: names of files, direction of dependencies, whose types stay where.

use toml::{Table, Value};

use crate::finding::Finding;
use crate::masked::Masked;
use crate::tree::Tree;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = [
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "manager",
    "misc",
    "shared_types",
    "types",
];

/// Which crates of ours each crate may use. A new crate takes its place here.
const DIRECTION: [(&str, &[&str]); 6] = [
    ("storage", &[]),
    ("protocol", &[]),
    ("consensus", &["storage"]),
    ("placement-center", &["consensus", "protocol", "storage"]),
    ("cmd", &["placement-center", "protocol"]),
    (
        "simulator",
        &["consensus", "placement-center", "protocol", "storage"],
    ),
];

/// Crates of others that have one home, so that what they are stays a detail of it.
const HOMES: [(&str, &str); 6] = [
    ("raft", "consensus"),
    ("raft-prost", "consensus"),
    ("rocksdb", "storage"),
    ("axum", "placement-center"),
    ("clap", "cmd"),
    ("log4rs", "cmd"),
];

/// A file is named for what it holds.
pub fn name(path: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in path.split('/') {
        let stem = part.split('.').next().unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            findings.push(Finding::file(
                path,
                format!("`{stem}` says nothing: name it for what it holds"),
            ));
        }
    }
    findings
}

/// Every crate of the workspace uses only those below it.
pub fn dependencies(tree: &Tree) -> Vec<Finding> {
    let root: Table = tree.text("Cargo.toml").parse().expect("Cargo has read it");
    let members = root["workspace"]["members"]
        .as_array()
        .expect("Cargo has read it");
    let manifests = members
        .iter()
        .filter_map(Value::as_str)
        .map(|member| format!("{member}/Cargo.toml"));
    manifests
        .flat_map(|path| manifest(&path, tree.text(&path)))
        .collect()
}

fn manifest(path: &str, text: &str) -> Vec<Finding> {
    let table: Table = text.parse().expect("Cargo has read it");
    let package = table["package"]["name"].as_str().unwrap_or_default();
    let Some((_, below)) = DIRECTION.iter().find(|(name, _)| *name == package) else {
        let message = format!(
            "`{package}` has no place in the direction of dependencies (tests/tidy/workspace.rs)"
        );
        return vec![Finding::file(path, message)];
    };
    let mut findings = Vec::new();
    for (dependency, development) in dependency_names(&table) {
        let ours = DIRECTION.iter().any(|(name, _)| *name == dependency);
        if ours && !below.contains(&dependency.as_str()) {
            findings.push(Finding::file(
                path,
                format!("`{package}` must not use `{dependency}`"),
            ));
        }
        let home = HOMES.iter().find(|(name, _)| *name == dependency);
        if home.is_some_and(|(_, home)| *home != package) {
            findings.push(Finding::file(
                path,
                format!("`{dependency}` is at home in another crate, not in `{package}`"),
            ));
        }
        if dependency == "anyhow" && package != "cmd" && !development {
            findings.push(Finding::file(
                path,
                "errors of a library have types: use thiserror, not anyhow",
            ));
        }
    }
    findings
}

fn dependency_names(table: &Table) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        if let Some(Value::Table(dependencies)) = table.get(section) {
            names.extend(
                dependencies
                    .keys()
                    .map(|name| (name.clone(), section == "dev-dependencies")),
            );
        }
    }
    names
}

/// raft-rs types do not leave `consensus`, RocksDB types do not leave `storage`.
pub fn foreign_types(path: &str, source: &Masked) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, home) in [
        ("raft", "consensus"),
        ("raft_prost", "consensus"),
        ("rocksdb", "storage"),
    ] {
        if path.starts_with(&format!("src/{home}/")) {
            continue;
        }
        for at in source.words(name) {
            let before = source.code[..at].trim_end();
            let crate_name =
                source.code[at + name.len()..].starts_with("::") && !before.ends_with("::");
            if crate_name {
                let message = format!("types of `{name}` stay in src/{home}");
                findings.push(Finding::at(path, source.line(at), name, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found() {
        for path in [
            "src/a/src/utils.rs",
            "src/helpers/mod.rs",
            "tests/common/mod.rs",
            "src/a/src/types.rs",
        ] {
            assert_eq!(name(path).len(), 1, "{path}");
        }
        assert_eq!(name("src/storage/src/lib.rs"), []);
    }

    #[test]
    fn dependencies_against_the_direction_are_found() {
        let found = |text: &str| manifest("src/a/Cargo.toml", text).len();
        let storage = "[package]\nname = \"storage\"\n";
        assert_eq!(
            found(&format!(
                "{storage}[dependencies]\nconsensus.workspace = true"
            )),
            1
        );
        assert_eq!(
            found(&format!(
                "{storage}[dev-dependencies]\nprotocol.workspace = true"
            )),
            1
        );
        assert_eq!(
            found(&format!("{storage}[dependencies]\nraft.workspace = true")),
            1
        );
        assert_eq!(
            found(&format!("{storage}[dependencies]\nanyhow.workspace = true")),
            1
        );
        assert_eq!(
            found(&format!(
                "{storage}[dependencies]\nrocksdb.workspace = true"
            )),
            0
        );
        assert_eq!(
            found("[package]\nname = \"consensus\"\n[dependencies]\nstorage.workspace = true"),
            0
        );
        assert_eq!(found("[package]\nname = \"newcomer\"\n"), 1);
    }

    #[test]
    fn foreign_types_are_found() {
        let found = |path: &str, text: &str| foreign_types(path, &Masked::new(text)).len();
        assert_eq!(found("src/cmd/src/lib.rs", "use raft::RawNode;"), 1);
        assert_eq!(
            found("src/placement-center/src/a.rs", "fn a(b: rocksdb::DB) {}"),
            1
        );
        assert_eq!(
            found("src/consensus/src/core/mod.rs", "use raft::RawNode;"),
            0
        );
        assert_eq!(
            found(
                "src/cmd/src/lib.rs",
                "config.raft.election_ms; use crate::raft::Settings;"
            ),
            0
        );
    }
}
