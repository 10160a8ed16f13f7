//! Which of a file's values is the model: dictionaries of trainers hold it under a name.

use crate::convert::pickle::{Id, Item, Values};
use crate::error::{Error, Result};

/// Names under which trainers keep a model's tensors.
const NAMES: [&str; 4] = ["model_state_dict", "state_dict", "model", "module"];
/// Dictionaries in dictionaries at most.
const DEEPEST: usize = 8;

/// A model's tensors.
pub struct State {
    /// Where they were: the names of the dictionaries around them.
    pub path: Vec<String>,
    /// Their names and values.
    pub tensors: Vec<(String, Id)>,
    /// Names of what else there was.
    pub left: Vec<String>,
}

/// The tensors of a model.
pub fn find(values: &Values) -> Result<State> {
    let mut state = State { path: Vec::new(), tensors: Vec::new(), left: Vec::new() };
    let mut at = values.root().ok_or_else(|| Error::new("it holds nothing"))?;
    while let Item::Dict(pairs) = values.get(at) {
        let inner = NAMES.iter().find_map(|name| values.key(at, name).map(|id| (*name, id)));
        let Some((name, inner)) = inner.filter(|(_, id)| matches!(values.get(*id), Item::Dict(p) if !p.is_empty())) else { break };
        if state.path.len() >= DEEPEST {
            return Err(Error::new("its dictionaries are nested too deep, or in themselves"));
        }
        let others = pairs.iter().filter(|(key, _)| !matches!(values.get(*key), Item::Text(t) if t == name));
        let others: Vec<String> = others.map(|(key, _)| state.place(values, *key)).collect();
        state.left.extend(others);
        state.path.push(name.to_owned());
        at = inner;
    }
    let Item::Dict(pairs) = values.get(at) else {
        return Err(Error::new(format!("it holds {}, not a dictionary of tensors", values.get(at).kind()))
            .hint("load it with PyTorch and save `model.state_dict()`"));
    };
    let mut places = rustc_hash::FxHashMap::default();
    for (key, value) in pairs {
        match (values.get(*key), values.get(*value)) {
            // of a key that comes twice the last counts
            (Item::Text(name), Item::View(_)) => match places.insert(name, state.tensors.len()) {
                Some(before) => {
                    state.tensors[before].1 = *value;
                    places.insert(name, before);
                }
                None => state.tensors.push((name.clone(), *value)),
            },
            _ => state.left.push(state.place(values, *key)),
        }
    }
    if state.tensors.is_empty() {
        let there = if state.left.is_empty() { "nothing".to_owned() } else { super::listed(&state.left, ", ") };
        return Err(Error::new(format!("its dictionary has no tensors; there is {there}")).hint(format!(
            "tensors are looked for there and below {}; load it with PyTorch and save the model's `state_dict()`",
            NAMES.map(|n| format!("`{n}`")).join(", ")
        )));
    }
    Ok(state)
}

impl State {
    /// A key with the dictionaries around it.
    fn place(&self, values: &Values, key: Id) -> String {
        let key = match values.get(key) {
            Item::Text(text) => text.clone(),
            Item::Int(n) => n.to_string(),
            other => other.kind().to_owned(),
        };
        self.path.iter().map(String::as_str).chain([key.as_str()]).collect::<Vec<_>>().join(".")
    }
}
