//! One breach of a rule: where it is, and what to do about it.

use std::fmt;

/// A place in a file and the rule it breaks.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the root of the repository.
    pub path: String,
    /// Counted from 1; 0 means the file as a whole.
    pub line: usize,
    /// What an exception has to name to excuse this one: a function, a lint, a word.
    pub subject: String,
    /// What is wrong and what is wanted.
    pub message: String,
}

impl Finding {
    /// A breach at a line.
    pub fn at(path: &str, line: usize, subject: &str, message: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            subject: subject.to_owned(),
            message: message.into(),
        }
    }

    /// A breach of the file as a whole.
    pub fn file(path: &str, message: impl Into<String>) -> Finding {
        Finding::at(path, 0, "", message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}
