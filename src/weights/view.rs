//! The tensors below one name, as whoever builds a model asks for them.

use super::bytes::Bytes;
use super::moved::Moved;
use super::{Entry, Store, matrix};
use crate::error::{Error, Result};
use crate::kernel::linear::Numbers;
use crate::kernel::precision::Precision;
use std::any::Any;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// The tensors below one name: `w.pp("self_attn").get("q_proj.weight", &[d, d])`.
#[derive(Clone)]
pub struct Weights {
    pub(super) store: Arc<Store>,
    pub(super) path: String,
}

impl Weights {
    /// The tensors below `name`.
    pub fn pp(&self, name: impl std::fmt::Display) -> Weights {
        Weights { store: self.store.clone(), path: self.name(&name.to_string()) }
    }

    pub(super) fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the checkpoint has the tensor; one made of random numbers has none that a checkpoint may leave out.
    pub fn has(&self, name: &str) -> bool {
        self.store.tensors.contains_key(&self.name(name))
    }

    /// Whether two tensors hold the same bytes, and an adapter leaves it so.
    pub fn same(&self, a: &str, b: &str) -> bool {
        let of =
            |name: &str| self.store.tensors.get(&self.name(name)).map(|(f, e)| (e.dtype, &self.store.files[*f].1.get()[e.range.clone()]));
        of(a).is_some() && of(a) == of(b) && self.store.changed_alike(&self.name(a), &self.name(b))
    }

    /// Whether the tensor `name` holds the same bytes as another below other weights.
    pub fn holds_same(&self, name: &str, (of, other): (&Weights, &str)) -> bool {
        self.store.root().same(&self.name(name), &of.name(other))
    }

    /// Marks all tensors below `name` as read without reading them.
    pub fn skip_below(&self, name: &str) {
        let start = self.name(name) + ".";
        self.store.tensors.keys().filter(|k| k.starts_with(&start)).for_each(|k| self.store.mark(k));
    }

    /// Marks a tensor as read without reading it: a tied copy.
    pub fn skip(&self, name: &str) {
        self.store.mark(&self.name(name));
    }

    /// What `load` makes of the tensors at `name`, made once for all layers that ask for it while one of them holds it.
    pub fn shared<T: Send + Sync + 'static>(&self, name: &str, load: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let failed = |_| Error::new("a thread failed while loading");
        let full = self.name(name);
        let held = self.store.shared.lock().map_err(failed)?.get(&full).and_then(Weak::upgrade);
        if let Some(Ok(held)) = held.map(Arc::downcast) {
            return Ok(held);
        }
        let made = Arc::new(load()?);
        let any: Arc<dyn Any + Send + Sync> = made.clone();
        self.store.shared.lock().map_err(failed)?.insert(full, Arc::downgrade(&any));
        Ok(made)
    }

    /// How the model holds its keys and values.
    pub fn cache(&self) -> Precision {
        self.store.held.cache
    }

    /// Where the tensor `full` lies. Fails if it is missing or has another shape.
    pub(super) fn find(&self, full: &str, shape: &[usize]) -> Result<(&str, &Arc<Bytes>, &Entry)> {
        let Some((file, entry)) = self.store.tensors.get(full) else {
            let files = self.store.files.iter().map(|f| f.0.as_str()).collect::<Vec<_>>().join(", ");
            let near = self.store.nearest(full).iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::new(format!("{files}: tensor `{full}` is missing")).hint(format!("the nearest names are {near}")));
        };
        let (path, bytes) = &self.store.files[*file];
        if entry.shape != shape {
            return Err(Error::new(format!("{path}: tensor `{full}` has shape {:?}, config.json asks for {shape:?}", entry.shape))
                .hint("config.json and weights belong to different models, or a size in config.json is wrong"));
        }
        Ok((path, bytes, entry))
    }

    /// The numbers of a tensor as f32, row-major. Fails if it is missing, has another shape or another kind of numbers.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.store.taken.fetch_add(shape.iter().product::<usize>() * size_of::<f32>(), Relaxed);
        self.numbers(name, shape)
    }

    /// Counts so many f32 that a caller made of [`Weights::numbers`] and holds.
    pub fn holds(&self, numbers: usize) {
        self.store.taken.fetch_add(numbers * size_of::<f32>(), Relaxed);
    }

    /// The same for who makes something else of them: not counted as what the model holds.
    pub fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let inputs = shape.last().copied().unwrap_or(1);
        let full = self.name(name);
        if let Some(kind) = self.store.made_up {
            self.store.note(&full, shape, inputs);
            return Ok(kind.numbers(&full, shape, inputs));
        }
        let (path, bytes, entry) = self.find(&full, shape)?;
        let mut numbers = matrix::numbers(path, &full, bytes, entry)?;
        bytes.release(entry.range.clone());
        self.store.mark(&full);
        if let Some(merged) = self.store.merged(&full, &&numbers[..], (shape, None))? {
            let mut out = vec![0.0; numbers.len()];
            merged.fill(0, &mut out);
            drop(merged);
            numbers = out;
            if let Some(i) = numbers.iter().position(|x| !x.is_finite()) {
                return Err(self.store.overdone(&full, (i, numbers[i]), ""));
            }
        }
        if let Some(seed) = self.store.moved {
            let mut out = vec![0.0; numbers.len()];
            Moved::new(&&numbers[..], &full, seed).fill(0, &mut out);
            numbers = out;
        }
        Ok(numbers)
    }
}
