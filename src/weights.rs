//! Weights under the checkpoint's own names: mmapped safetensors that remember what was read.

use crate::error::{Error, Result};
use crate::kernel::precision::Precision;
use crate::kernel::simd::{Isa, isa};
use crate::nearest::distance;
use bytes::Bytes;
use made_up::MadeUp;
use shards::shards;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

mod adapted;
mod bytes;
mod file;
mod header;
mod made_up;
mod matrix;
mod moved;
mod random;
mod sample;
mod shards;
mod view;

pub use file::{File, check};
pub use header::{Dtype, Entry};
pub use made_up::Asked;
pub use matrix::Form;
pub use random::Stream;
pub use shards::shards_named;
pub use view::Weights;

/// The kinds of numbers that a model holds in memory, and whether all of them are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Matrices and token tables. Norms, biases and positions are f32 always.
    pub weights: Precision,
    /// Keys and values.
    pub cache: Precision,
    /// Whether matrices that are read row by row stay in their file, see [`Weights::rows`].
    pub mapped: bool,
}

/// All tensors of a checkpoint.
pub struct Store {
    files: Vec<(String, Arc<Bytes>)>,
    tensors: BTreeMap<String, (usize, Entry)>,
    /// Instead of files: numbers made up.
    made_up: Option<MadeUp>,
    held: Held,
    read: Mutex<BTreeSet<String>>,
    made: Mutex<BTreeMap<String, (Vec<usize>, usize)>>,
    /// Bytes of what the model took so far, as it holds them.
    taken: AtomicUsize,
    /// Bytes of what it left in the files.
    mapped: AtomicUsize,
    /// What layers share, for as long as one of them has it.
    shared: Mutex<BTreeMap<String, Weak<dyn Any + Send + Sync>>>,
    /// What is merged into the tensors while they are read.
    adapted: Option<adapted::Adapted>,
    /// Seed of a unit in the last place by which every weight is moved.
    moved: Option<u64>,
}

impl Store {
    /// The store of a directory: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub fn open(dir: &Path) -> Result<Self> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        let paths = if single.exists() {
            vec![single]
        } else if index.exists() {
            shards(dir, &index)?
        } else {
            let hint = if dir.join("pytorch_model.bin").exists() {
                "this directory has only `pytorch_model.bin`: `effattn convert --from pytorch` makes one of it that can be read"
            } else {
                "a checkpoint has `model.safetensors` or `model.safetensors.index.json` with its shards; `--random-weights` does without"
            };
            return Err(Error::new(format!("{}: no weights here", dir.display())).hint(hint));
        };
        let mut store = Self::empty(None);
        for path in paths {
            store.add(File::open(&path)?)?;
        }
        Ok(store)
    }

    /// The store of a safetensors file that is part of the program.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self> {
        let mut store = Self::empty(None);
        store.add(File::of(name.to_string(), Bytes::Static(bytes))?)?;
        Ok(store)
    }

    fn empty(made_up: Option<MadeUp>) -> Self {
        Self {
            files: Vec::new(),
            tensors: BTreeMap::new(),
            made_up,
            held: Held::default(),
            read: Mutex::default(),
            made: Mutex::default(),
            taken: AtomicUsize::default(),
            mapped: AtomicUsize::default(),
            shared: Mutex::default(),
            adapted: None,
            moved: None,
        }
    }

    /// The same, for a model that holds its numbers as `held`.
    pub fn held(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// The same with every stored weight moved by a unit in its last place, up or down as a coin of this seed says: what rounding does to a model.
    pub fn moved(self, seed: Option<u64>) -> Self {
        Self { moved: seed, ..self }
    }

    /// How the model holds its weights.
    pub fn precision(&self) -> Precision {
        self.held.weights
    }

    /// The precision that suits checkpoint and machine: bf16 where all matrices are, and the machine has kernels for it; else f32.
    pub fn natural(&self) -> Precision {
        let mut matrices = self.tensors.values().filter(|(_, e)| e.shape.len() > 1).peekable();
        let bf16 = matrices.peek().is_some() && matrices.all(|(_, e)| e.dtype == Dtype::Bf16);
        if bf16 && isa() != Isa::Portable { Precision::Bf16 } else { Precision::F32 }
    }

    fn add(&mut self, File { name, entries, bytes }: File) -> Result<()> {
        let file = self.files.len();
        for (tensor, entry) in entries {
            if let Some((other, _)) = self.tensors.insert(tensor.clone(), (file, entry)) {
                let other = if other == file { &name } else { &self.files[other].0 };
                return Err(Error::new(format!("{name}: tensor `{tensor}` stands in {other} too")));
            }
        }
        self.files.push((name, bytes));
        Ok(())
    }

    /// The view from the root of all names.
    pub fn root(self: &Arc<Self>) -> Weights {
        Weights { store: self.clone(), path: String::new() }
    }

    /// Dtypes on disk with the number of tensors in each.
    pub fn dtypes(&self) -> BTreeMap<&'static str, usize> {
        let mut out = BTreeMap::new();
        for (_, e) in self.tensors.values() {
            *out.entry(e.dtype.name()).or_insert(0) += 1;
        }
        out
    }

    /// Numbers in all tensors (of a made-up checkpoint: in those asked for so far).
    pub fn parameters(&self) -> usize {
        let made = self.made.lock().map_or(0, |m| m.values().map(|(shape, _)| shape.iter().product::<usize>()).sum());
        self.tensors.values().map(|(_, e)| e.shape.iter().product::<usize>()).sum::<usize>() + made
    }

    /// Bytes of the tensors on disk.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|(_, e)| e.range.len()).sum()
    }

    /// Bytes of the weights in memory, as the model holds them: panels with their factors, norms, biases, stored positions. Not what stays in a file.
    pub fn bytes_in_memory(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Bytes of the weights that stay in their file and are read there, row by row ([`Held::mapped`]).
    pub fn bytes_mapped(&self) -> usize {
        self.mapped.load(Relaxed)
    }

    /// Fails if the checkpoint holds a tensor that nobody read and that `ignored` does not explain (it matches the end of a name).
    pub fn all_read(&self, ignored: &[&str]) -> Result<()> {
        let read = self.read.lock().map_err(|_| Error::new("a thread failed while loading"))?;
        let unread: Vec<&String> = self.tensors.keys().filter(|k| !read.contains(*k) && !ignored.iter().any(|i| k.ends_with(i))).collect();
        let Some(first) = unread.first() else { return self.all_merged() };
        let file = &self.files[self.tensors[*first].0].0;
        let names = unread.iter().take(5).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let more = if unread.len() > 5 { format!(" and {} more", unread.len() - 5) } else { String::new() };
        Err(Error::new(format!("{file}: {} tensor(s) belong to nothing in this architecture: {names}{more}", unread.len()))
            .hint("config.json and weights do not fit together: compare the numbers of layers and `model_type`, `tie_word_embeddings`"))
    }

    fn mark(&self, name: &str) {
        if let Ok(mut read) = self.read.lock() {
            read.insert(name.to_string());
        }
    }

    /// Up to three names that resemble `name` most.
    fn nearest(&self, name: &str) -> Vec<&str> {
        let mut all: Vec<(usize, &str)> = self.tensors.keys().map(|k| (distance(k, name), k.as_str())).collect();
        all.sort();
        all.into_iter().take(3).map(|(_, k)| k).collect()
    }
}

#[cfg(test)]
mod tests;
