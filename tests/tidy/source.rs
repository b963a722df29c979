//! Rules on the shape of one Rust file: its head, its length, the length of its functions.

use crate::finding::Finding;
use crate::masked::{Masked, close};

/// Lines of a file without its tests.
const PRODUCT_LINES_MAX: usize = 500;
/// Lines of a file with its tests, and of a file of tests.
const LINES_MAX: usize = 800;
/// Lines of a function from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// The same for a test, most of which may be a table of cases, and for an example, which is read from top
/// to bottom.
const TEST_LINES_MAX: usize = 120;

/// Whether a file holds tests only.
pub fn is_test_file(path: &str) -> bool {
    let root = ["tests/", "benches/"]
        .iter()
        .any(|folder| path.starts_with(folder));
    let file = ["/tests.rs", "/testing.rs"]
        .iter()
        .any(|name| path.ends_with(name));
    root || file || path.contains("/tests/")
}

/// A file opens with `//!`: what it owns and what it does not. The unit tests of `x.rs` in `x/tests.rs`
/// need none, their name says it.
pub fn head(path: &str, source: &Masked) -> Vec<Finding> {
    if path.starts_with("src/") && path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let words = source
        .text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("//! "));
    match words {
        Some(words) if words.split_whitespace().count() >= 2 => Vec::new(),
        _ => vec![Finding::file(
            path,
            "open the file with a `//!` line that says what it owns",
        )],
    }
}

/// A file is one idea: it is split before it grows long.
pub fn file_length(path: &str, source: &Masked) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let product = source.product_lines();
    if lines > LINES_MAX {
        let message = format!("{lines} lines, more than {LINES_MAX} with tests: split it");
        return vec![Finding::file(path, message)];
    }
    if !is_test_file(path) && product > PRODUCT_LINES_MAX {
        let message =
            format!("{product} lines, more than {PRODUCT_LINES_MAX} without tests: split it");
        return vec![Finding::file(path, message)];
    }
    Vec::new()
}

/// A function fits a screen.
pub fn function_length(path: &str, source: &Masked) -> Vec<Finding> {
    let mut findings = Vec::new();
    for start in source.words("fn") {
        let rest = &source.code[start..];
        let name: String = rest[2..]
            .trim_start()
            .chars()
            .take_while(|character| character.is_alphanumeric() || *character == '_')
            .collect();
        // A trait method without a body ends at `;`; a bare `fn(..)` type has no name.
        let Some(open) = rest.find(['{', ';']).filter(|_| !name.is_empty()) else {
            continue;
        };
        if rest.as_bytes()[open] == b';' {
            continue;
        }
        let lines = source.line(close(&source.code, start + open)) - source.line(start) + 1;
        let test = is_test_file(path) || path.starts_with("example/") || source.in_tests(start);
        let max = if test {
            TEST_LINES_MAX
        } else {
            FUNCTION_LINES_MAX
        };
        if lines > max {
            let message = format!("`{name}` has {lines} lines, more than {max}: split it");
            findings.push(Finding::at(path, source.line(start), &name, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_wanted() {
        let found = |text: &str| head("src/a.rs", &Masked::new(text)).len();
        assert_eq!(head("src/a/tests.rs", &Masked::new("use super::*;\n")), []);
        assert_eq!(found("//! Owns the log writer.\n\nuse std::fs;\n"), 0);
        assert_eq!(found("// Owns the log writer.\n"), 1);
        assert_eq!(found("//! Log.\n"), 1);
        assert_eq!(found("\n//! Owns the log writer.\n"), 1);
        assert_eq!(found(""), 1);
    }

    #[test]
    fn long_files_are_found() {
        let found = |path: &str, text: &str| file_length(path, &Masked::new(text)).len();
        assert_eq!(found("src/a.rs", &"a\n".repeat(500)), 0);
        assert_eq!(found("src/a.rs", &"a\n".repeat(501)), 1);
        assert_eq!(found("src/a/tests.rs", &"a\n".repeat(800)), 0);
        assert_eq!(found("src/a/tests.rs", &"a\n".repeat(801)), 1);
        let with_tests = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "a\n".repeat(400),
            "b\n".repeat(300)
        );
        assert_eq!(found("src/a.rs", &with_tests), 0);
    }

    #[test]
    fn long_functions_are_found() {
        let found = |path: &str, lines: usize| {
            let text = format!(
                "trait A {{ fn b(); }}\nfn c(f: fn(u8)) {{\n{}}}\n",
                "  d();\n".repeat(lines)
            );
            function_length(path, &Masked::new(&text))
        };
        assert_eq!(found("src/a.rs", 68), []);
        assert_eq!(found("tests/a.rs", 118), []);
        assert_eq!(found("example/a.rs", 118), []);
        assert_eq!(found("tests/a.rs", 119).len(), 1);
        let long = found("src/a.rs", 69);
        assert_eq!(long.len(), 1);
        assert_eq!((long[0].line, long[0].subject.as_str()), (2, "c"));
    }
}
