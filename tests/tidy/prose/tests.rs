//! Bad samples for the rules on text.

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| File {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
        executable: false,
    };
    Tree {
        files: files.iter().map(file).collect(),
    }
}

#[test]
fn unclean_lines_are_found() {
    for text in ["a\tb\n", "a \n", "a\r\n", "a"] {
        assert_eq!(lines("a.rs", text).len(), 1, "{text:?}");
    }
    let wide = format!("{}\n", "a".repeat(121));
    assert_eq!(lines("a.proto", &wide).len(), 1);
    assert_eq!(lines("a.rs", &format!("// {wide}")).len(), 1);
    assert_eq!(lines("a.rs", &wide), []);
    assert_eq!(lines("a.md", &wide), []);
    assert_eq!(lines("Makefile", "a:\n\tb\n"), []);
    assert_eq!(lines("LICENSE", "a \n"), []);
}

#[test]
fn careless_scripts_are_found() {
    let found = |path: &str, text: &str, executable: bool| {
        script(&File {
            path: path.to_owned(),
            text: text.to_owned(),
            executable,
        })
        .len()
    };
    assert_eq!(
        found("bin/a.sh", "#!/bin/bash\nset -euo pipefail\n", true),
        0
    );
    assert_eq!(found("bin/a.sh", "#!/bin/bash\nset -e\n", true), 1);
    assert_eq!(
        found("bin/a.sh", "#!/bin/bash\nset -euo pipefail\n", false),
        1
    );
    assert_eq!(found(".ci/run", "#!/bin/bash\n", true), 1);
    assert_eq!(found("a.sh", "set -euo pipefail\n", true), 1);
    assert_eq!(found("a.txt", "text\n", false), 0);
}

#[test]
fn dead_links_are_found() {
    let text = "# One Head-line\n[a](b.md) [c](../README.md) [d](#one-head-line) [e](https://example.org)\n\
                [f](gone.md) [g](#gone) [h](b.md#gone) [i](decisions)\n```\n[j](gone.md)\n```\n";
    let tree = tree(&[
        ("docs/a.md", text),
        ("docs/b.md", "# B\n"),
        ("README.md", ""),
        ("docs/decisions/1.md", ""),
    ]);
    let found: Vec<String> = links(&tree)
        .into_iter()
        .map(|finding| finding.subject)
        .collect();
    assert_eq!(found, ["gone.md", "#gone", "b.md#gone"]);
}

#[test]
fn missing_paths_are_found() {
    let text = "`src/a.rs` `src/gone.rs` `src/*/b` `make` `config/a.toml`\n";
    let tree = tree(&[("docs/a.md", text), ("src/a.rs", ""), ("config/b.toml", "")]);
    let found: Vec<String> = paths(&tree)
        .into_iter()
        .map(|finding| finding.subject)
        .collect();
    assert_eq!(found, ["src/gone.rs", "config/a.toml"]);
}

#[test]
fn missing_targets_are_found() {
    let tree = tree(&[
        ("Makefile", "\nrun: setup\n"),
        ("README.md", "`make run` `make gone` `make run ARGS=1`\n"),
    ]);
    let found: Vec<String> = make_targets(&tree)
        .into_iter()
        .map(|finding| finding.subject)
        .collect();
    assert_eq!(found, ["gone"]);
}

#[test]
fn a_missing_version_is_found() {
    let ini = "[product]\nversion = 0.2.0\n";
    assert_eq!(changelog(ini, "## 0.2.0 (unreleased)\n"), []);
    assert_eq!(changelog(ini, "## 0.2.0\n"), []);
    assert_eq!(changelog(ini, "## 0.2.01\n## 0.1.0\n").len(), 1);
}

#[test]
fn undocumented_keys_are_found() {
    let configuration = "a = 1\nnodes = { 1 = \"b\" }\n[log]\nlevel = \"info\"\npath = \"c\"\n";
    let manual = "| `a` | | `nodes` | `log.level` |\n";
    let found = undocumented_keys(configuration, manual);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("log.path"));
}
