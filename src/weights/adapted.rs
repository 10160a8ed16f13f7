//! An adapter's changes on their way into a checkpoint's tensors.

use super::bytes::Bytes;
use super::{Entry, Store, matrix};
use crate::adapter::{Adapter, Change, Merged, Summary};
use crate::error::{Error, Result};
use crate::kernel::linear::{Layout, Numbers};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What a store knows of an adapter.
pub(super) struct Adapted {
    pub summary: Summary,
    /// Its adapter_config.json.
    config: String,
    /// By tensor; tied tensors share theirs.
    changes: BTreeMap<String, Arc<Vec<Change>>>,
    /// Tensors whose changes somebody has read.
    read: Mutex<BTreeSet<String>>,
}

impl Store {
    /// The same with an adapter merged into whatever is read; `tied`: the checkpoint's configuration ties its tables to one another. Fails if the
    /// adapter does not fit.
    pub fn adapted(mut self, adapter: Adapter, tied: bool) -> Result<Self> {
        let shapes: BTreeMap<&str, &[usize]> = self.tensors.iter().map(|(name, (_, e))| (name.as_str(), &e.shape[..])).collect();
        let plan = adapter.plan(&shapes, tied)?;
        let mut changes: BTreeMap<String, Arc<Vec<Change>>> = BTreeMap::new();
        for (name, all) in plan.changes {
            let all = Arc::new(all);
            // PEFT ties tokens even to a table that holds other numbers
            let tokens = all.iter().any(|c| matches!(c, Change::Rows(_)));
            let copies = if plan.ties.changed { self.copies(&name, tokens) } else { Vec::new() };
            if let Some(other) = copies.iter().find(|c| changes.contains_key(*c)) {
                return Err(Error::new(format!("the adapter changes both `{name}` and `{other}`, which are one table"))
                    .hint("store the table once: load the checkpoint with transformers and save it"));
            }
            copies.into_iter().chain([name]).for_each(|n| drop(changes.insert(n, all.clone())));
        }
        let config = adapter.config_file();
        let (file, number) = (adapter.into_file(), self.files.len());
        let mut instead: Vec<(String, Entry)> = Vec::new();
        for (name, tensor) in plan.replaced {
            let Some(entry) = file.entries.get(&tensor) else { continue };
            if !self.holds(&name, (&tensor, &file))? {
                let copies = if plan.ties.replaced { self.copies(&name, false) } else { Vec::new() };
                instead.extend(copies.into_iter().chain([name]).map(|n| (n, entry.clone())));
            }
        }
        for (name, other) in plan.kept {
            if let Some(kept) = self.tensors.get(&other).cloned() {
                self.tensors.entry(name).or_insert(kept);
            }
        }
        instead.into_iter().for_each(|(name, entry)| drop(self.tensors.insert(name, (number, entry))));
        self.files.push((file.name, file.bytes));
        self.adapted = Some(Adapted { summary: plan.summary, config, changes, read: Mutex::default() });
        Ok(self)
    }

    /// The adapter, if there is one.
    pub fn adapter(&self) -> Option<&Summary> {
        self.adapted.as_ref().map(|a| &a.summary)
    }

    /// Other tensors with the same bytes as a table, or with `any` at least with its shape: what is tied to it.
    fn copies(&self, name: &str, any: bool) -> Vec<String> {
        let bytes = |(file, e): &(usize, Entry)| (e.dtype, e.shape.clone(), &self.files[*file].1.get()[e.range.clone()]);
        let Some(table) = self.tensors.get(name).filter(|(_, e)| e.shape.len() == 2 && crate::adapter::may_be_tied(name)) else {
            return Vec::new();
        };
        let (dtype, shape, of) = bytes(table);
        let same = |(n, t): &(&String, &(usize, Entry))| {
            n.as_str() != name && crate::adapter::may_be_tied(n) && t.1.shape == shape && (any || t.1.dtype == dtype && bytes(t).2 == of)
        };
        self.tensors.iter().filter(same).map(|(n, _)| n.clone()).collect()
    }

    /// Whether a tensor has the numbers of another, in a file.
    fn holds(&self, name: &str, (tensor, file): (&str, &super::File)) -> Result<bool> {
        let Some((number, entry)) = self.tensors.get(name) else { return Ok(false) };
        let (path, bytes): &(String, Arc<Bytes>) = &self.files[*number];
        Ok(matrix::numbers(path, name, bytes, entry)? == file.numbers(tensor)?)
    }

    fn changes(&self, name: &str) -> Option<&Arc<Vec<Change>>> {
        self.adapted.as_ref()?.changes.get(name)
    }

    /// Whether an adapter changes the tensor.
    pub(super) fn changed(&self, name: &str) -> bool {
        self.changes(name).is_some()
    }

    /// Whether an adapter changes two tensors in the same way, or neither.
    pub(super) fn changed_alike(&self, a: &str, b: &str) -> bool {
        match (self.changes(a), self.changes(b)) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The numbers of a tensor of this shape with what the adapter does to them, if it does anything; they lie as `layout`, where who reads them knows.
    pub(super) fn merged<'a>(
        &'a self,
        name: &str,
        numbers: &'a dyn Numbers,
        (shape, layout): (&[usize], Option<Layout>),
    ) -> Result<Option<Merged<'a>>> {
        let Some((adapted, changes)) = self.adapted.as_ref().zip(self.changes(name)) else { return Ok(None) };
        if let Ok(mut read) = adapted.read.lock() {
            read.insert(name.to_owned());
        }
        Merged::new(numbers, shape, layout, changes).map(Some).map_err(|e| e.at(format!("adapter `{}`", adapted.summary.name)))
    }

    /// The error of a tensor that is finite in the checkpoint, and merged with the adapter holds `value`, which `what` is wrong with.
    pub(super) fn overdone(&self, name: &str, (index, value): (usize, f32), what: &str) -> Error {
        let Some(Adapted { summary, config, .. }) = &self.adapted else { return Error::new(format!("tensor `{name}` {what}")) };
        Error::new(format!("{config}: merged with this adapter, tensor `{name}` of the base model holds {value:e} at index {index}{what}"))
            .hint(format!(
                "the adapter's numbers are too large: is `lora_alpha` ({}) or `r` ({}) mistyped? Else its training diverged",
                summary.alpha, summary.rank
            ))
    }

    /// Fails if the adapter changes a tensor that the model has not read.
    pub(super) fn all_merged(&self) -> Result<()> {
        let Some(adapted) = &self.adapted else { return Ok(()) };
        let read = adapted.read.lock().map_err(|_| Error::new("a thread failed while loading"))?;
        let lost = adapted.changes.keys().find(|name| !read.iter().any(|r| self.changed_alike(name, r)));
        lost.map_or(Ok(()), |name| {
            Err(Error::new(format!("the adapter changes `{name}`, which this model does not compute with"))
                .hint("the adapter was trained for another base model, or for a table that this checkpoint stores under another name too"))
        })
    }
}
