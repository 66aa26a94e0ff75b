//! An object of ROUTES, taken apart field by field: no problem of one hides those of another.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Whom a problem is told, with the field's name.
pub(super) type Bad<'b> = &'b mut dyn FnMut(&str, String);

/// Most names a hint gives.
const NEAREST: usize = 3;

/// Fewest letters of a name that is looked for inside others.
const WORD: usize = 3;

/// An object whose fields are taken one by one. `null` counts as not there.
pub(super) struct Fields {
    object: Map<String, Value>,
    /// All that were asked for.
    known: Vec<String>,
}

impl Fields {
    /// Of an object.
    pub(super) fn of(object: Map<String, Value>) -> Fields {
        Fields { object, known: Vec::new() }
    }

    /// Of what should be an object.
    pub(super) fn read(value: Value, here: &str, bad: Bad<'_>) -> Option<Fields> {
        match value {
            Value::Object(object) => Some(Fields::of(object)),
            _ => {
                bad(here, "expected an object".into());
                None
            }
        }
    }

    /// A field that may be missing.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str, bad: Bad<'_>) -> Option<T> {
        self.known.push(name.to_owned());
        let value = self.object.remove(name).filter(|value| !value.is_null())?;
        serde_json::from_value(value).map_err(|error| bad(name, error.to_string())).ok()
    }

    /// A field that must be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, name: &str, bad: Bad<'_>) -> Option<T> {
        if self.object.get(name).is_none_or(Value::is_null) {
            bad(name, "is missing".into());
        }
        self.take(name, bad)
    }

    /// Tells of everything that nobody asked for. `others` are fields of this object that were
    /// taken off it before.
    pub(super) fn end(self, others: impl IntoIterator<Item = String>, bad: Bad<'_>) {
        if self.object.is_empty() {
            return;
        }
        let known: Vec<String> = self.known.into_iter().chain(others).collect();
        let mut all_told = false;
        for name in self.object.keys() {
            let near = nearest(name, &known).join(", ");
            let hint = match near.is_empty() {
                false => format!("; did you mean {near}?"),
                true if std::mem::replace(&mut all_told, true) => String::new(),
                true => format!("; there are {}", known.join(", ")),
            };
            bad(name, format!("no such field{hint}"));
        }
    }
}

/// The names somebody may have meant, the nearest first.
fn nearest<'k>(name: &str, known: &'k [String]) -> Vec<&'k str> {
    let name = name.to_ascii_lowercase();
    let mut near: Vec<_> = known.iter().map(|other| (distance(&name, other), other)).collect();
    near.retain(|(distance, other)| {
        *distance <= 1 + name.len() / 4 || (name.len() >= WORD && other.contains(&name))
    });
    near.sort();
    near.iter().take(NEAREST).map(|(_, other)| other.as_str()).collect()
}

/// How many letters must be added, left out or changed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (one, other, letters) in
            [("", "", 0), ("", "ab", 2), ("lock_tll", "lock_ttl", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (letters, letters));
        }
    }

    #[test]
    fn the_nearest_names_are_told_or_all_of_them_once() {
        let told = |names: &[&str]| {
            let object = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
            let known = ["lock_ttl", "token_ttl", "upstream_timeout", "path"].map(str::to_owned);
            let mut told = Vec::new();
            Fields::of(object).end(known, &mut |name, what| told.push(format!("{name}: {what}")));
            told
        };
        for (name, near) in
            [("lock_tll", "lock_ttl"), ("LOCK_TTL", "lock_ttl"), ("timeout", "upstream_timeout")]
        {
            assert_eq!(told(&[name]), [format!("{name}: no such field; did you mean {near}?")]);
        }
        assert_eq!(
            told(&["colour", "pth", "taste"]),
            [
                "colour: no such field; there are lock_ttl, token_ttl, upstream_timeout, path",
                "pth: no such field; did you mean path?",
                "taste: no such field",
            ]
        );
    }
}
