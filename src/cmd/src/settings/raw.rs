//! A value as a layer gave it, before the key's type is known.

/// A value as a layer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Exactly what the user wrote, for messages.
    pub text: String,
    /// What it is.
    pub form: Form,
}

/// What a given value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text of a flag or variable: the key decides what it means.
    Word(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Whole(i64),
    /// A TOML boolean.
    Switch(bool),
    /// A TOML table whose values are all strings, in its order.
    Table(Vec<(String, String)>),
    /// A TOML array whose values are all strings.
    List(Vec<String>),
    /// Any other TOML value, or an integer too large for one; no key takes it.
    Other,
}

impl Raw {
    /// A value from the command line or the environment.
    pub fn word(text: &str) -> Raw {
        Raw {
            text: format!("{text:?}"),
            form: Form::Word(text.to_owned()),
        }
    }

    /// The number, when this is or spells one. Negative numbers are kept for the range check.
    pub fn whole(&self) -> Option<i64> {
        match &self.form {
            Form::Whole(number) => Some(*number),
            Form::Word(word) => word.parse().ok(),
            _ => None,
        }
    }

    /// The text, when this is or spells one.
    pub fn string(&self) -> Option<&str> {
        match &self.form {
            Form::Word(text) | Form::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, when this is or spells one.
    pub fn switch(&self) -> Option<bool> {
        match &self.form {
            Form::Switch(on) => Some(*on),
            Form::Word(word) => word.parse().ok(),
            _ => None,
        }
    }

    /// Texts of an array, or of a word such as `host:port,host:port`; an empty word has none.
    pub fn list(&self) -> Option<Vec<String>> {
        match &self.form {
            Form::List(texts) => Some(texts.clone()),
            Form::Word(word) | Form::Text(word) if word.is_empty() => Some(Vec::new()),
            Form::Word(word) | Form::Text(word) => {
                Some(word.split(',').map(|text| text.trim().to_owned()).collect())
            }
            _ => None,
        }
    }

    /// Pairs of a table, or of a word such as `1=host:port,2=host:port`.
    pub fn pairs(&self) -> Option<Vec<(String, String)>> {
        match &self.form {
            Form::Table(pairs) => Some(pairs.clone()),
            Form::Word(word) => word
                .split(',')
                .map(|pair| pair.split_once('='))
                .map(|pair| {
                    pair.map(|(id, address)| (id.trim().to_owned(), address.trim().to_owned()))
                })
                .collect(),
            _ => None,
        }
    }
}
