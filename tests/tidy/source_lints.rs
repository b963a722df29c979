//! Rules on what stands in Rust code: unfinished work, unexplained failures, silenced lints, sleeps.

use crate::finding::Finding;
use crate::masked::{Masked, close, words};
use crate::source::is_test_file;

/// Words that put work off. Spelled in two parts so that this file may name them.
const POSTPONING: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Work is done or has an issue; a note in the text is neither.
pub fn postponed(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in POSTPONING {
            if words(line, word).next().is_some() {
                let message = format!("`{word}`: do it, or open an issue for it");
                findings.push(Finding::at(path, index + 1, word, message));
            }
        }
    }
    findings
}

/// No stub, no debugging print, no test that does not run.
pub fn unfinished(path: &str, source: &Masked) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in ["todo!", "unimplemented!", "dbg!", "#[ignore"] {
        for at in source.words(call) {
            let message = format!("`{call}` does not belong in a commit");
            findings.push(Finding::at(path, source.line(at), call, message));
        }
    }
    findings
}

/// Product code does not unwrap: what can fail is an error, what cannot is an `expect` with a reason.
pub fn unwraps(path: &str, source: &Masked) -> Vec<Finding> {
    if is_test_file(path) {
        return Vec::new();
    }
    let places = source.code.match_indices(".unwrap()").map(|(at, _)| at);
    places
        .filter(|at| !source.in_tests(*at))
        .map(|at| {
            Finding::at(
                path,
                source.line(at),
                "unwrap",
                "return an error, or `expect` with the reason it holds",
            )
        })
        .collect()
}

/// An `expect` says in words why it holds.
pub fn unexplained_expects(path: &str, source: &Masked) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_test_file(path) {
        return findings;
    }
    for (at, call) in source.code.match_indices(".expect(") {
        let argument = source.text[at + call.len()..].trim_start();
        let Some(reason) = argument.strip_prefix('"').filter(|_| !source.in_tests(at)) else {
            continue;
        };
        let reason = reason.split('"').next().unwrap_or_default();
        if reason.split_whitespace().count() < 2 {
            findings.push(Finding::at(
                path,
                source.line(at),
                "expect",
                "say in the `expect` why it holds",
            ));
        }
    }
    findings
}

/// What clippy.toml bans, it bans from product code; tests may have to do it.
const BANS: &str = "clippy::disallowed_methods";

/// A lint is switched off only where the table of exceptions says why.
pub fn silenced(path: &str, source: &Masked) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in ["allow", "expect"] {
        for at in source.words(word) {
            let open = at + word.len();
            let method = source.code[..at].trim_end().ends_with(['.', ':']);
            if method
                || source.code.as_bytes().get(open) != Some(&b'(')
                || !in_attribute(&source.code, at)
            {
                continue;
            }
            let arguments = &source.code[open + 1..close(&source.code, open) - 1];
            for lint in arguments.split(',').map(str::trim) {
                let excused = lint == BANS && is_test_file(path);
                if lint.is_empty() || lint.starts_with("reason") || excused {
                    continue;
                }
                let message = format!(
                    "`{lint}` is silenced: list it in tests/tidy/exceptions.rs with the reason"
                );
                findings.push(Finding::at(path, source.line(at), lint, message));
            }
        }
    }
    findings
}

/// Whether the last `#[` or `#![` before the offset is still open there.
fn in_attribute(code: &str, at: usize) -> bool {
    let Some(open) = ["#[", "#!["]
        .iter()
        .filter_map(|mark| code[..at].rfind(mark))
        .max()
    else {
        return false;
    };
    let bracket = open + code[open..].find('[').unwrap_or_default();
    close(code, bracket) > at
}

/// A test waits for a condition with a deadline: a sleep is too long on one machine, too short on another.
/// A measurement may let time pass.
pub fn sleeps(path: &str, source: &Masked) -> Vec<Finding> {
    if path.starts_with("benches/") {
        return Vec::new();
    }
    let places = source.words("sleep").filter(|at| {
        let called = source.code[at + "sleep".len()..].starts_with('(');
        called && (is_test_file(path) || source.in_tests(*at))
    });
    places
        .map(|at| {
            Finding::at(
                path,
                source.line(at),
                "sleep",
                "wait for a condition, not for a time",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&str, &Masked) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(path, &Masked::new(text)).len()
    }

    #[test]
    fn postponed_work_is_found() {
        for word in POSTPONING {
            assert_eq!(
                postponed("a.sh", &format!("# {word}: later\n")).len(),
                1,
                "{word}"
            );
        }
        assert_eq!(postponed("a.rs", "// the todo list of a client\n"), []);
    }

    #[test]
    fn unfinished_code_is_found() {
        for text in [
            "fn a() { todo!() }",
            "unimplemented!(\"b\")",
            "dbg!(c);",
            "#[ignore]\nfn a() {}",
        ] {
            assert_eq!(found(unfinished, "src/a.rs", text), 1, "{text}");
        }
        assert_eq!(
            found(
                unfinished,
                "src/a.rs",
                "// no todo!() here\nlet a = \"dbg!(b)\";"
            ),
            0
        );
    }

    #[test]
    fn unwraps_are_found_outside_of_tests() {
        assert_eq!(found(unwraps, "src/a.rs", "fn a() { b().unwrap(); }"), 1);
        assert_eq!(
            found(
                unwraps,
                "src/a.rs",
                "#[cfg(test)]\nmod tests { fn a() { b().unwrap(); } }"
            ),
            0
        );
        assert_eq!(found(unwraps, "tests/a.rs", "fn a() { b().unwrap(); }"), 0);
        assert_eq!(found(unwraps, "src/a.rs", "a.unwrap_or(b)"), 0);
    }

    #[test]
    fn expects_without_a_reason_are_found() {
        assert_eq!(found(unexplained_expects, "src/a.rs", "a.expect(\"\")"), 1);
        assert_eq!(
            found(
                unexplained_expects,
                "src/a.rs",
                "a.expect(\n    \"failed\",\n)"
            ),
            1
        );
        assert_eq!(
            found(
                unexplained_expects,
                "src/a.rs",
                "a.expect(\"checked by the caller\")"
            ),
            0
        );
        assert_eq!(
            found(
                unexplained_expects,
                "src/a.rs",
                "parser.expect(Token::Comma)"
            ),
            0
        );
    }

    #[test]
    fn silenced_lints_are_found() {
        let text = "#![allow(dead_code, missing_docs)]\n#[expect(clippy::all, reason = \"x, y\")]\nfn a() {}\n\
                    #[cfg_attr(test, allow(unused))]\nfn b() { a.expect(\"c d\"); let _ = allow(1); }\n";
        let findings = silenced("src/a.rs", &Masked::new(text));
        let lints: Vec<&str> = findings
            .iter()
            .map(|finding| finding.subject.as_str())
            .collect();
        assert_eq!(
            lints,
            ["dead_code", "missing_docs", "unused", "clippy::all"]
        );
        let ban = format!("#![allow({BANS})]");
        assert_eq!(found(silenced, "src/a.rs", &ban), 1);
        assert_eq!(found(silenced, "tests/a.rs", &ban), 0);
    }

    #[test]
    fn sleeps_are_found_in_tests() {
        assert_eq!(found(sleeps, "tests/a.rs", "std::thread::sleep(b);"), 1);
        assert_eq!(
            found(
                sleeps,
                "src/a.rs",
                "#[cfg(test)]\nmod tests { fn a() { sleep(b).await } }"
            ),
            1
        );
        assert_eq!(found(sleeps, "src/a.rs", "sleep(pause).await"), 0);
        assert_eq!(found(sleeps, "tests/a.rs", "use tokio::time::sleep;"), 0);
        assert_eq!(found(sleeps, "benches/a.rs", "sleep(b);"), 0);
    }
}
