//! What a reviewer would otherwise have to remember, as tests over the text of the repository. Owns
//! the conventions that rustfmt, clippy and the compiler cannot see; it judges no behaviour.
//!
//! A rule is a function from texts to findings, tested on small bad samples beside it. An exception is
//! a row in `exceptions` with its reason; a row that no longer excuses anything is itself a finding.

mod exceptions;
mod finding;
mod masked;
mod prose;
mod purity;
mod source;
mod source_lints;
mod tree;
mod workspace;

use finding::Finding;
use masked::Masked;
use tree::{File, Tree};

/// Fails the test with one line per finding.
fn none(findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// Runs one rule over every Rust file.
fn each_source(rule: impl Fn(&str, &Masked) -> Vec<Finding>) -> Vec<Finding> {
    let tree = Tree::load();
    assert!(tree.sources().count() > 20, "the sources were not found");
    tree.sources()
        .flat_map(|file| rule(&file.path, &Masked::new(&file.text)))
        .collect()
}

/// Runs one rule over every text file.
fn each_file(rule: impl Fn(&File) -> Vec<Finding>) -> Vec<Finding> {
    Tree::load().files.iter().flat_map(rule).collect()
}

#[test]
fn every_source_says_what_it_owns() {
    none(each_source(source::head));
}

#[test]
fn files_are_short() {
    none(exceptions::spare(
        exceptions::LONG_FILES,
        each_source(source::file_length),
    ));
}

#[test]
fn functions_fit_a_screen() {
    none(exceptions::spare(
        exceptions::LONG_FUNCTIONS,
        each_source(source::function_length),
    ));
}

#[test]
fn nothing_is_left_for_later() {
    let words = each_file(|file| source_lints::postponed(&file.path, &file.text));
    let calls = each_source(source_lints::unfinished);
    none(words.into_iter().chain(calls).collect());
}

#[test]
fn errors_are_handled_or_explained() {
    none(each_source(source_lints::unwraps));
    none(each_source(source_lints::unexplained_expects));
}

#[test]
fn lints_are_silenced_only_where_listed() {
    none(exceptions::spare(
        exceptions::SILENCED_LINTS,
        each_source(source_lints::silenced),
    ));
}

#[test]
fn tests_wait_for_conditions() {
    none(exceptions::spare(
        exceptions::SLEEPS,
        each_source(source_lints::sleeps),
    ));
}

#[test]
fn files_are_named_for_what_they_hold() {
    none(each_file(|file| workspace::name(&file.path)));
}

#[test]
fn dependencies_run_one_way() {
    none(workspace::dependencies(&Tree::load()));
}

#[test]
fn foreign_types_stay_in_their_crate() {
    none(each_source(workspace::foreign_types));
}

#[test]
fn state_machines_are_pure() {
    none(exceptions::spare(
        exceptions::IMPURE,
        each_source(purity::impure),
    ));
}

#[test]
fn lines_are_clean() {
    none(each_file(|file| prose::lines(&file.path, &file.text)));
}

#[test]
fn scripts_stop_at_the_first_error() {
    none(each_file(prose::script));
}

#[test]
fn documents_point_at_what_exists() {
    let tree = Tree::load();
    none(prose::links(&tree));
    none(prose::paths(&tree));
    none(prose::make_targets(&tree));
}

#[test]
fn the_changelog_has_this_version() {
    let tree = Tree::load();
    none(prose::changelog(
        tree.text("version.ini"),
        tree.text("CHANGELOG.md"),
    ));
}

#[test]
fn every_configuration_key_is_documented() {
    let tree = Tree::load();
    let configuration = tree.text("config/placement-center.toml");
    none(prose::undocumented_keys(
        configuration,
        tree.text("docs/operations.md"),
    ));
}
