//! What of a request may differ between retries: a nonce, a time, a signature.

use super::json;

/// What a fingerprint leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// JSON pointers, as they were given.
    pub pointers: Vec<String>,
    /// Fields by their bare names: of a form, a query, the top level of a JSON or XML body.
    pub fields: Vec<String>,
    /// All of it as JSON pointers.
    pub members: Vec<String>,
}

/// One thing to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A JSON pointer.
    Pointer(String),
    /// A field's bare name.
    Field(String),
}

/// A text that could never be found in a request as its writer meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a JSON pointer nor a field: write /nonce, /items/0/time (~ as ~0, / in a name \
     as ~1), or a bare name such as sign"
)]
pub struct BadEntry(String);

impl Entry {
    /// Reads `/nonce` or `sign`.
    ///
    /// # Errors
    /// When it is neither: a broken pointer, a source as KEY has them, a JSONPath.
    pub fn parse(text: &str) -> Result<Entry, BadEntry> {
        let sources = ["header:", "json:", "form:", "query:", "path:", "xml:"];
        let foreign = sources.iter().any(|source| text.starts_with(source))
            || ["$.", "$["].iter().any(|path| text.starts_with(path));
        match text.starts_with('/') {
            true if json::is_pointer(text) => Ok(Entry::Pointer(text.to_owned())),
            false if !foreign && !text.is_empty() && !text.contains('~') => {
                Ok(Entry::Field(text.to_owned()))
            }
            _ => Err(BadEntry(text.to_owned())),
        }
    }
}

impl FromIterator<Entry> for Ignore {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Ignore {
        let mut ignore = Ignore::default();
        for entry in entries {
            match entry {
                Entry::Pointer(pointer) => {
                    ignore.members.push(pointer.clone());
                    ignore.pointers.push(pointer);
                }
                Entry::Field(name) => {
                    ignore.members.push(format!("/{}", name.replace('/', "~1")));
                    ignore.fields.push(name);
                }
            }
        }
        ignore
    }
}

impl Ignore {
    /// Whether everything counts.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_bare_names_are_told_apart() {
        let entries = ["/nonce", "/a/0/~0b~1c", "/", "sign", "time stamp", "a/b", "$filter", "a:b"];
        let ignore: Ignore = entries.iter().map(|text| Entry::parse(text).unwrap()).collect();
        assert_eq!(ignore.pointers, ["/nonce", "/a/0/~0b~1c", "/"]);
        assert_eq!(ignore.fields, ["sign", "time stamp", "a/b", "$filter", "a:b"]);
        assert_eq!(ignore.members[3..], ["/sign", "/time stamp", "/a~1b", "/$filter", "/a:b"]);
        assert!(!ignore.is_empty() && Ignore::default().is_empty());
    }

    #[test]
    fn what_could_never_be_found_is_refused() {
        for text in [
            "", "~", "/a/~2", "/a~", "json:/n", "form:ts", "query:n", "xml:ts", "$.n", "$[0]",
            "a~b",
        ] {
            let told = Entry::parse(text).unwrap_err().to_string();
            assert!(told.starts_with(&format!("{text:?} is neither")), "{told}");
        }
    }
}
