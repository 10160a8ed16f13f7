//! Whether every place that the configuration names has its tensor.

use super::Making;
use crate::adapter::base::{last, may_be_tied};
use crate::adapter::config::{Bias, ends};
use crate::adapter::{CONFIG, Part};
use crate::error::{Error, Result};
use std::collections::BTreeSet;

impl Making<'_> {
    /// Fails if a place has no tensor.
    pub(super) fn complete(&self, low: &BTreeSet<String>) -> Result<()> {
        let (c, file) = (&self.adapter.config, &self.adapter.file.name);
        let tokens: Vec<&String> = self.adapter.modules.iter().filter(|(_, p)| p.contains_key(&Part::Tokens)).map(|(m, _)| m).collect();
        if let Some(table) = c.lost_tokens(tokens.iter().copied()) {
            let of = table.map_or(String::new(), |t| format!(" of `{t}`"));
            let what = format!("no tensor `token_adapter.trainable_tokens_delta`{of}, which `trainable_token_indices` of {CONFIG} names");
            return Err(Error::new(format!("{file}: {what}")).hint(INCOMPLETE));
        }
        let having = || low.iter().chain(tokens.iter().copied());
        if let Some(target) = c.missed(having().collect::<Vec<_>>().into_iter()) {
            return Err(Error::new(format!("{file}: no tensor of `{target}`, which `target_modules` of {CONFIG} names")).hint(INCOMPLETE));
        }
        if low.is_empty() && self.replaced.is_empty() && self.changes.is_empty() {
            return Err(Error::new(format!("{file}: no tensor of an adapter")).hint(INCOMPLETE));
        }
        let words: BTreeSet<&str> = low.iter().map(|m| last(m)).filter(|w| !may_be_tied(w) && w.parse::<usize>().is_err()).collect();
        for (name, module) in self.base.matrices() {
            let wanted = if c.tells_targets() { self.spelled(module).any(|m| c.targets(&m)) } else { words.contains(last(module)) };
            if wanted && !self.met.contains_key(name) {
                return Err(Error::new(format!(
                    "{file}: no `lora_A` and `lora_B` of `{module}`, which `target_modules` of {CONFIG} covers"
                ))
                .hint(INCOMPLETE));
            }
        }
        self.complete_replacements(low)
    }

    fn complete_replacements(&self, low: &BTreeSet<String>) -> Result<()> {
        let (c, file) = (&self.adapter.config, &self.adapter.file.name);
        for (name, shape) in self.base.shapes {
            let Some((module, parameter)) = name.rsplit_once('.') else { continue };
            let bias = parameter == "bias" && shape.len() == 1;
            let changed = || self.spelled(module).any(|m| low.contains(&m));
            let why = match c.bias {
                _ if self.replaced.contains_key(*name) => continue,
                _ if self.spelled(module).any(|m| c.saves(&m)) => "modules_to_save",
                Bias::All if bias => "bias",
                Bias::Changed if bias && changed() => "bias",
                _ => continue,
            };
            return Err(Error::new(format!("{file}: no tensor for `{name}`, which `{why}` of {CONFIG} covers")).hint(INCOMPLETE));
        }
        let has =
            |saved: &String| self.adapter.modules.iter().any(|(m, p)| ends(m, saved) && p.keys().any(|p| matches!(p, Part::Whole(_))));
        match c.saved.iter().find(|s| may_be_tied(s) && !has(s)) {
            Some(s) => Err(Error::new(format!("{file}: no tensor of `{s}`, which `modules_to_save` of {CONFIG} names")).hint(INCOMPLETE)),
            None => Ok(()),
        }
    }

    /// The names that PEFT may have for a module of the checkpoint: its own, and those that differ by the first word, if the adapter's do.
    fn spelled<'b>(&'b self, module: &'b str) -> impl Iterator<Item = String> + 'b {
        let word = self.met.iter().find_map(|(name, met)| {
            let stored = name.rsplit_once('.')?.0;
            met.strip_suffix(stored).and_then(|w| w.strip_suffix('.')).filter(|w| !w.contains('.') && !w.is_empty())
        });
        let more = word.map(|w| format!("{w}.{module}"));
        let shorter =
            self.met.iter().any(|(name, met)| name.split_once('.').is_some_and(|(_, n)| n.rsplit_once('.').is_some_and(|(n, _)| n == met)));
        let less = module.split_once('.').filter(|_| shorter).map(|(_, rest)| rest.to_owned());
        std::iter::once(module.to_owned()).chain(more).chain(less)
    }
}

const INCOMPLETE: &str = "the adapter's file is incomplete, or adapter_config.json belongs to another: save both anew with PEFT";
