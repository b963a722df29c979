//! Rust text with the contents of comments, strings and characters blanked, so that a rule about code
//! does not stumble over words in prose. A lexer of the few tokens that matter, not a parser.

use std::ops::Range;

/// One Rust file: its text, and the same text masked byte for byte.
pub struct Masked {
    /// As written.
    pub text: String,
    /// Same length, same lines; contents of comments and literals are spaces.
    pub code: String,
    tests: Vec<Range<usize>>,
}

impl Masked {
    /// Masks a file.
    pub fn new(text: &str) -> Masked {
        let code = mask(text);
        let tests = test_items(&code);
        Masked {
            text: text.to_owned(),
            code,
            tests,
        }
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.code.as_bytes()[..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    }

    /// Whether the offset lies in an item under `#[cfg(test)]`.
    pub fn in_tests(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// Lines outside of such items.
    pub fn product_lines(&self) -> usize {
        let tests = self
            .tests
            .iter()
            .map(|range| self.line(range.end) - self.line(range.start) + 1);
        self.text.lines().count().saturating_sub(tests.sum())
    }

    /// Offsets at which `word` stands in code, not as a part of a longer name.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.code, word)
    }
}

/// Offsets at which `word` stands in `text`, not as a part of a longer name.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let end = at + word.len();
            let begins = *at == 0 || !name(bytes[at - 1]) || !name(bytes[*at]);
            let ends = end == bytes.len() || !name(bytes[end]) || !name(bytes[end - 1]);
            begins && ends
        })
}

/// The offset after the bracket that closes the one at `open`.
pub fn close(code: &str, open: usize) -> usize {
    let bytes = code.as_bytes();
    let (begin, end) = match bytes[open] {
        b'{' => (b'{', b'}'),
        b'(' => (b'(', b')'),
        _ => (b'[', b']'),
    };
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        if *byte == begin {
            depth += 1;
        } else if *byte == end {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    code.len()
}

fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let rest = start + attribute.len();
        let Some(at) = code[rest..].find(['{', ';']) else {
            continue;
        };
        let end = match code.as_bytes()[rest + at] {
            b'{' => close(code, rest + at),
            _ => rest + at + 1,
        };
        ranges.push(start..end);
    }
    ranges
}

fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(text, at);
        if end > at {
            for byte in &mut masked[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            // Quotes stay: `expect("` must be told from `expect(message`.
            if bytes[at] == b'"' {
                masked[at] = b'"';
                masked[end - 1] = b'"';
            }
            at = end;
        } else {
            at += 1;
        }
    }
    String::from_utf8(masked).expect("only whole literals were replaced, by ASCII")
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    let inside_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => text[at..]
            .find('\n')
            .map_or(text.len(), |length| at + length),
        [b'/', b'*', ..] => block_comment_end(bytes, at),
        [b'r', b'#' | b'"', ..] if !inside_name => raw_string_end(text, at),
        [b'b' | b'c', b'r', b'#' | b'"', ..] if !inside_name => raw_string_end(text, at + 1),
        [b'"', ..] => quoted_end(bytes, at, b'"'),
        [b'\'', b'\\', ..] => quoted_end(bytes, at, b'\''),
        [b'\'', ..] => {
            // 'x' is a character, 'x without a second quote a lifetime.
            let Some(character) = text[at + 1..].chars().next() else {
                return at;
            };
            let quote = at + 1 + character.len_utf8();
            if bytes.get(quote) == Some(&b'\'') {
                quote + 1
            } else {
                at
            }
        }
        _ => at,
    }
}

fn quoted_end(bytes: &[u8], open: usize, quote: u8) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string_end(text: &str, at: usize) -> usize {
    let hashes = text[at + 1..]
        .bytes()
        .take_while(|byte| *byte == b'#')
        .count();
    let open = at + 1 + hashes;
    if text.as_bytes().get(open) != Some(&b'"') {
        return at; // a raw identifier: r#type
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let length = text[open + 1..].find(&closing);
    length.map_or(text.len(), |length| open + 1 + length + closing.len())
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = at;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_blanked_and_code_is_not() {
        let cases = [
            ("let a = \"x{\\\"y\"; b", "let a = \"     \"; b"),
            ("a // b {\nc", "a       \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("let c = '{'; '\\''; 'ä';", "let c =    ;     ;     ;"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("r#\"a \" b\"# c", "           c"),
            ("br\"\\\" c", "      c"),
            ("r#type", "r#type"),
            ("\"open", "\"   \""),
        ];
        for (text, want) in cases {
            let code = mask(text);
            assert_eq!(code, want, "of {text:?}");
        }
    }

    #[test]
    fn test_items_are_found() {
        let masked =
            Masked::new("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n");
        assert!(!masked.in_tests(3));
        assert!(masked.in_tests(masked.code.find("fn b").expect("it is there")));
        assert!(!masked.in_tests(masked.code.find("fn c").expect("it is there")));
        assert_eq!(masked.product_lines(), 2);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(
            words("todo! my_todo! todo!(x)", "todo!").collect::<Vec<_>>(),
            [0, 15]
        );
        assert_eq!(
            words("raft:: draft:: raft", "raft").collect::<Vec<_>>(),
            [0, 15]
        );
    }
}
