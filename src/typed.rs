//! JSON into structures, with errors that say where.
//!
//! serde tells what is wrong, but not where: neither of values that are in memory already, nor behind `#[serde(flatten)]`, which also hides
//! the place from wrappers round a deserializer. So the place is found by trying.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Values that are tried at most: a file may be long, and made to be.
const TRIES: usize = 64;

/// Reads a structure. An error of a value of another kind begins with the place of the value, such as `` `attention.n_hashes`: ``.
pub fn typed<C: DeserializeOwned>(value: &Value) -> Result<C, String> {
    let read = |value: &Value| serde_json::from_value::<C>(value.clone()).map(drop).map_err(|e| e.to_string());
    serde_json::from_value::<C>(value.clone()).map_err(|e| {
        let what = e.to_string();
        let place = place(value, &what, &read).or_else(|| key(value, &what, &read));
        place.map_or(what.clone(), |place| format!("`{place}`: {what}"))
    })
}

type Read<'r> = &'r dyn Fn(&Value) -> Result<(), String>;

/// The place of a value that is of another kind than expected: one that looks like what was found, and in whose place something else is unexpected for
/// the same reason.
fn place(value: &Value, what: &str, read: Read) -> Option<String> {
    let (found, expected) = what.split_once(", expected ")?;
    let mut all = Vec::new();
    walk(value, String::new(), String::new(), &mut |pointer, place, value| {
        if all.len() < TRIES && resembles(value, found) {
            all.push((pointer.to_owned(), place.to_owned()));
        }
    });
    let same = |pointer: &str, other: Value| {
        let mut changed = value.clone();
        changed.pointer_mut(pointer).map(|old| *old = other)?;
        let told = read(&changed).err()?;
        (told != what && told.split_once(", expected ")?.1 == expected).then_some(())
    };
    let odd = [json!("\u{a7}"), json!([]), json!({"\u{a7}": []}), json!(0.5), json!(true)];
    all.into_iter().find(|(pointer, _)| odd.iter().any(|odd| same(pointer, odd.clone()).is_some())).map(|(_, place)| place)
}

/// Whether serde would call a value so.
fn resembles(value: &Value, found: &str) -> bool {
    match value {
        Value::Null => found.ends_with("null") || found.ends_with("unit value"),
        Value::Bool(b) => found.ends_with(&format!("boolean `{b}`")),
        Value::Number(n) if n.is_f64() => found.contains("floating point `"),
        Value::Number(n) => found.ends_with(&format!("integer `{n}`")),
        Value::String(s) => found.ends_with(&format!("string {s:?}")) || found.ends_with(&format!("variant `{s}`")),
        Value::Array(_) => found.ends_with("sequence") || found.contains("length"),
        Value::Object(keys) => found.ends_with("map") || keys.keys().any(|key| found.ends_with(&format!("variant `{key}`"))),
    }
}

/// Calls `each` with pointer, place and value of everything inside of `value`.
fn walk(value: &Value, pointer: String, place: String, each: &mut dyn FnMut(&str, &str, &Value)) {
    let mut visit = |pointer: String, place: String, value: &Value| {
        each(&pointer, &place, value);
        walk(value, pointer, place, each);
    };
    match value {
        Value::Object(keys) => keys.iter().for_each(|(key, value)| {
            let dot = if place.is_empty() { "" } else { "." };
            visit(format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), format!("{place}{dot}{key}"), value);
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| visit(format!("{pointer}/{i}"), format!("{place}[{i}]"), value))
        }
        _ => {}
    }
}

/// The key of a value that fits nowhere, where the error does not say what it expects: without the key something else is wrong, or nothing, and
/// with a value that cannot be meant the same is. None where that may be any of several.
fn key(value: &Value, what: &str, read: Read) -> Option<String> {
    let keys = value.as_object().filter(|_| !what.starts_with("missing") && !what.starts_with("unknown field"))?;
    let changed = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut keys = keys.clone();
        change(&mut keys);
        read(&Value::Object(keys)).err()
    };
    let same = |error: Option<String>| error.as_deref() == Some(what);
    let mut found = keys.keys().take(TRIES).filter(|key| {
        let without = changed(&|keys| drop(keys.shift_remove(*key)));
        let odd = changed(&|keys| drop(keys.insert((*key).clone(), json!({"\u{a7}": []}))));
        !same(without) && same(odd)
    });
    found.next().filter(|_| found.next().is_none()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        width: usize,
        deep: bool,
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        rest: Map<String, Value>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        height: usize,
        name: Option<String>,
        kind: Kind,
        sizes: Vec<[u32; 2]>,
        more: More,
        either: Option<Either>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        One,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Either {
        Number(u32),
        Truth(bool),
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct More {
        depth: f64,
        deep: bool,
    }

    fn good() -> Value {
        json!({"width": 3, "deep": true, "height": 4, "name": "one", "kind": "one", "sizes": [[1, 2], [3, 4]],
            "more": {"depth": 0.5, "deep": true}, "either": 3, "a/b": true, "unread": {"width": "x"}})
    }

    fn said(pointer: &str, bad: Value) -> String {
        let mut value = good();
        *value.pointer_mut(pointer).unwrap() = bad;
        typed::<Outer>(&value).map(drop).unwrap_err()
    }

    #[test]
    fn the_place_of_a_value_of_another_kind_is_named() {
        assert!(typed::<Outer>(&good()).is_ok());
        for (pointer, place) in [
            ("/width", "width"),
            ("/height", "height"),
            ("/sizes", "sizes"),
            ("/sizes/1", "sizes[1]"),
            ("/sizes/1/0", "sizes[1][0]"),
            ("/more", "more"),
            ("/more/depth", "more.depth"),
        ] {
            for bad in [json!("x"), json!("one"), json!(true), json!({"width": 1}), json!({"depth": "one"})] {
                if pointer == "/more" && bad.is_object() {
                    continue;
                }
                let told = said(pointer, bad.clone());
                assert!(told.starts_with(&format!("`{place}`: invalid ")), "{pointer} {bad}: {told}");
            }
        }
        assert_eq!(said("/width", json!(-1)), "`width`: invalid value: integer `-1`, expected usize");
        assert_eq!(said("/height", json!(2.5)), "`height`: invalid type: floating point `2.5`, expected usize");
        assert_eq!(said("/name", json!(3)), "`name`: invalid type: integer `3`, expected a string");
        assert_eq!(said("/name", json!([])), "`name`: invalid type: sequence, expected a string");
        assert_eq!(said("/more/deep", json!("one")), "`more.deep`: invalid type: string \"one\", expected a boolean");
        assert_eq!(said("/kind", json!("two")), "`kind`: unknown variant `two`, expected `one`");
        assert_eq!(said("/kind", json!([])), "`kind`: invalid type: sequence, expected string or map");
        assert_eq!(said("/kind", json!({"two": 1})), "`kind`: unknown variant `two`, expected `one`");
        assert_eq!(said("/sizes/0", json!([1])), "`sizes[0]`: invalid length 1, expected an array of length 2");
        // what does not say what it expects
        let told = said("/either", json!("x"));
        assert!(told.starts_with("`either`: data did not match any variant"), "{told}");
        // and what names its key by itself
        assert_eq!(said("/more", json!({"depth": 1.0, "deep": true, "x": 1})), "unknown field `x`, expected `depth` or `deep`");
        let mut few = good();
        few.as_object_mut().unwrap().remove("height");
        assert_eq!(typed::<Outer>(&few).map(drop).unwrap_err(), "missing field `height`");
    }
}
