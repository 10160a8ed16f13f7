//! A checkpoint's tensors by the names that PEFT has for their modules.

use super::config::ends;
use crate::error::{Error, Result};
use crate::nearest::distance;
use std::collections::BTreeMap;

/// Names and shapes of a checkpoint's tensors.
pub struct Base<'a> {
    /// All of them.
    pub shapes: &'a BTreeMap<&'a str, &'a [usize]>,
    /// Names without their first word.
    inner: BTreeMap<&'a str, Vec<&'a str>>,
}

/// Last words of modules whose tables models tie to one another.
const TIED: [&str; 4] = ["shared", "embed_tokens", "lm_head", "wte"];

/// Whether models tie the table of this module to others.
pub fn may_be_tied(module: &str) -> bool {
    TIED.contains(&last(module))
}

/// The last word of a name.
pub fn last(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

impl<'a> Base<'a> {
    /// Of names with their shapes.
    pub fn new(shapes: &'a BTreeMap<&'a str, &'a [usize]>) -> Self {
        let mut inner: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in shapes.keys() {
            if let Some((_, rest)) = name.split_once('.') {
                inner.entry(rest).or_default().push(name);
            }
        }
        Self { shapes, inner }
    }

    /// The tensor `parameter` of a module: under its own name, or under one with a first word more or less (`transformer.h.0` and `h.0`), which is
    /// how checkpoints of a model with and without its head differ. None if there is none; fails if there are several.
    pub fn find(&self, module: &str, parameter: &str) -> Result<Option<&'a str>> {
        // trax's linear layers have `w` and `b`
        let short = match parameter {
            "weight" => Some("w"),
            "bias" => Some("b"),
            _ => None,
        };
        for parameter in std::iter::once(parameter).chain(short) {
            let full = format!("{module}.{parameter}");
            if let Some((name, _)) = self.shapes.get_key_value(full.as_str()) {
                return Ok(Some(name));
            }
            let less = full.split_once('.').and_then(|(_, rest)| self.shapes.get_key_value(rest)).map(|(name, _)| *name);
            let mut found: Vec<&str> = self.inner.get(full.as_str()).cloned().unwrap_or_default();
            found.extend(less.filter(|name| name.contains('.') && module.contains('.')));
            match found[..] {
                [] => {}
                [one] => return Ok(Some(one)),
                _ => {
                    let all = found.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
                    return Err(Error::new(format!("`{module}` may be any of {all}"))
                        .hint("the adapter was trained for a model that names its modules in another way"));
                }
            }
        }
        Ok(None)
    }

    /// The table that the model uses for a module whose own it does not store; `tied`: its output matrix is one of them.
    pub fn tied(&self, module: &str, tied: bool) -> Option<&'a str> {
        if !may_be_tied(module) || (last(module) == "lm_head" && !tied) {
            return None;
        }
        let table = |name: &&&str| name.strip_suffix(".weight").is_some_and(may_be_tied);
        let mut all: Vec<&str> = self.shapes.keys().filter(table).copied().collect();
        for better in [|n: &str| !ends(n, "lm_head.weight"), |n: &str| ends(n, "shared.weight")] {
            if all.iter().any(|n| better(n)) && (all.len() > 1 || !tied) {
                all.retain(|n| better(n));
            }
        }
        all.retain(|n| tied || !ends(n, "lm_head.weight"));
        if let [one] = all[..] { Some(one) } else { None }
    }

    /// The error of a module that the checkpoint has not.
    pub fn unknown(&self, module: &str, parameter: &str) -> Error {
        let full = format!("{module}.{parameter}");
        let mut near: Vec<(usize, &str)> = self.shapes.keys().map(|n| (distance(n, &full), *n)).collect();
        near.sort_unstable();
        let near = near.iter().take(3).map(|(_, n)| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        Error::new(format!("`{module}` is no module of the base model, which has no tensor `{full}`"))
            .hint(format!("the adapter was trained for another base model; the nearest names are {near}"))
    }

    /// Modules with a matrix, each with the names that PEFT may have for it beside the checkpoint's own: `first` is the word that one of them has more.
    pub fn matrices(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let matrix = |(name, shape): (&&'a str, &&'a [usize])| {
            let module = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".w"))?;
            (shape.len() == 2).then_some((*name, module))
        };
        self.shapes.iter().filter_map(matrix)
    }
}
