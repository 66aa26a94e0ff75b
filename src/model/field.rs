//! What stands at one place of a notification or an answer, so that two can be told apart.
//!
//! Promises: what was a string or an integer has the same parts in every release, for records hold
//! their digests; no two values of other kinds have the same. Refuses to know where it was found.

/// What stands somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    Missing,
    /// JSON's `null`: a sender that has nothing to say may write it or leave the field out.
    Null,
    /// A string, or an integer's digits: senders write an order number either way.
    Text(String),
    /// Another JSON value by its one spelling: a decimal's digits as they stand, `true`, an object.
    Other(String),
}

impl Field {
    /// What is digested of it. Nothing and `null` are the same; a string is unlike the value that
    /// is spelled like it, and an empty one unlike nothing.
    pub fn parts(&self) -> [&str; 2] {
        match self {
            Field::Missing | Field::Null => ["0", ""],
            Field::Text(text) => ["1", text],
            Field::Other(spelled) => ["2", spelled],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_null_and_nothing_are_told_alike() {
        let (text, other) = (Field::Text, Field::Other);
        let all = [
            Field::Missing,
            text(String::new()),
            text("null".into()),
            text("true".into()),
            other("true".into()),
            text("9.9".into()),
            other("9.9".into()),
            other("9.90".into()),
            text("{}".into()),
            other("{}".into()),
            other("[]".into()),
        ];
        for (n, field) in all.iter().enumerate() {
            for before in &all[..n] {
                assert_ne!(field.parts(), before.parts());
            }
        }
        assert_eq!(Field::Null.parts(), Field::Missing.parts());
    }
}
