//! JSON in which no member stands twice: whoever wrote it meant both, and only one would count.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The value a text is, and where members stand twice in it: `[0].key`, `.routes[0].key`.
///
/// # Errors
/// When it is not JSON.
pub(super) fn read(text: &str) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut twice = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let reader = Reader { place: &mut String::new(), twice: &mut twice };
    let value = reader.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, twice))
}

/// Reads what stands at a place.
struct Reader<'r> {
    place: &'r mut String,
    twice: &'r mut Vec<String>,
}

impl Reader<'_> {
    /// One that reads what stands at a place inside this one.
    fn at(&mut self, inner: &str) -> Reader<'_> {
        self.place.push_str(inner);
        Reader { place: self.place, twice: self.twice }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let (mut list, here) = (Vec::new(), self.place.len());
        while let Some(item) = items.next_element_seed(self.at(&format!("[{}]", list.len())))? {
            list.push(item);
            self.place.truncate(here);
        }
        self.place.truncate(here);
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let (mut object, here) = (Map::new(), self.place.len());
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.at(&format!(".{name}")))?;
            if object.insert(name, value).is_some() {
                self.twice.push(self.place.clone());
            }
            self.place.truncate(here);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_that_of_any_reader() {
        let text =
            r#" {"a": [1, -1, 1.5, "x\n", true, null, {}, []], "b": {"a": 18446744073709551615}} "#;
        let (value, twice) = read(text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        assert!(twice.is_empty());
        for text in ["", "[", "[] []", "{1:2}", "nul"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_stands_twice_is_found_wherever_it_stands() {
        let text = r#"{"routes": [{"a": 1}, {"k": {"x": 1, "x": {"y": 0, "y": 0}}, "k": 2}], "routes": 1}"#;
        let (_, twice) = read(text).unwrap();
        assert_eq!(twice, [".routes[1].k.x.y", ".routes[1].k.x", ".routes[1].k", ".routes"]);
        let nothing: [&str; 0] = [];
        assert_eq!(read(r#"[{"a": 1}, {"a": 1}]"#).unwrap().1, nothing);
    }
}
