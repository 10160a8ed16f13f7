//! Weights under the checkpoint's own names: mmapped safetensors that remember what was read.

use crate::error::{Error, Result};
use crate::files;
use crate::kernel::linear::Numbers;
use crate::kernel::precision::Precision;
use crate::kernel::simd::{Isa, isa};
use crate::nearest::distance;
use memmap2::Mmap;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

mod adapted;
mod file;
mod header;
mod matrix;
mod moved;
mod random;

pub use file::File;
pub use header::{Dtype, Entry};
pub use matrix::Form;
use moved::Moved;
pub use random::Stream;

/// Where the bytes of a checkpoint are.
enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Bytes::Mapped(m) => m,
            Bytes::Static(s) => s,
        }
    }

    /// Whether they are a file's.
    fn is_file(&self) -> bool {
        matches!(self, Bytes::Mapped(_))
    }

    /// Lets the pages of a range go, where they are a file's: what has been packed need not stay in memory beside the panels.
    /// Whoever reads the range again gets it from the file again.
    fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = self
            && !range.is_empty()
        {
            // SAFETY: the mapping is of a file and never written, so a page that goes comes back as it was
            let advised = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
            // only memory would be lost
            drop(advised);
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.get()
    }
}

/// What stands for weights where there are no files.
#[derive(Clone, Copy)]
enum MadeUp {
    /// Numbers from this seed.
    Random(u64),
    /// Nothing but sizes.
    Blueprint,
}

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

/// A tensor that a model asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Inputs of an output: numbers are made up with a deviation of 1/√inputs.
    pub inputs: usize,
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

    /// Numbers made up from a seed for whatever is asked: matrices of variance 1 / inputs, norms 1, biases 0, multipliers (`gating`, `mult`) of variance 1/4.
    pub fn random(seed: u64) -> Self {
        Self::empty(Some(MadeUp::Random(seed)))
    }

    /// No numbers at all: matrices come out empty, so that a model of any size loads at once and takes no memory. It can tell sizes and
    /// cannot run.
    pub fn blueprint() -> Self {
        Self::empty(Some(MadeUp::Blueprint))
    }

    /// Whether its numbers are made up.
    pub fn is_random(&self) -> bool {
        matches!(self.made_up, Some(MadeUp::Random(_)))
    }

    /// Whether it has no numbers.
    pub fn is_blueprint(&self) -> bool {
        matches!(self.made_up, Some(MadeUp::Blueprint))
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

    /// Names and shapes of the tensors of a made-up checkpoint that were asked for so far, by name.
    pub fn asked_for(&self) -> Vec<Asked> {
        let asked =
            |(name, (shape, inputs)): (&String, &(Vec<usize>, usize))| Asked { name: name.clone(), shape: shape.clone(), inputs: *inputs };
        self.made.lock().map_or_else(|_| Vec::new(), |m| m.iter().map(asked).collect())
    }

    /// Counts a tensor that was made up.
    fn note(&self, name: &str, shape: &[usize], inputs: usize) {
        if let Ok(mut made) = self.made.lock() {
            made.insert(name.to_string(), (shape.to_vec(), inputs));
        }
    }

    /// Up to three names that resemble `name` most.
    fn nearest(&self, name: &str) -> Vec<&str> {
        let mut all: Vec<(usize, &str)> = self.tensors.keys().map(|k| (distance(k, name), k.as_str())).collect();
        all.sort();
        all.into_iter().take(3).map(|(_, k)| k).collect()
    }
}

/// Fails if a file is not a safetensors file as long as its header says.
pub fn check(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
    // SAFETY: the file is read-only for us; whoever changes it meanwhile changes what is checked, as with any mapped file
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::new(format!("{}: cannot be mapped: {e}", path.display())))?;
    header::parse(&map).map(drop)
}

/// The files an index names, each once. All are there.
fn shards(dir: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let files = shards_named(dir, index)?;
    match files.iter().find(|f| !f.exists()) {
        Some(missing) => Err(Error::new(format!("{}: missing, though {} names it", missing.display(), index.display()))
            .hint("fetch all shards of the checkpoint")),
        None => Ok(files),
    }
}

/// The same whether they are there or not; none lies outside of the directory.
pub fn shards_named(dir: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let at = index.display();
    let bad = |what: String| Error::new(format!("{at}: {what}")).hint("the index must hold `weight_map`: {tensor: file}");
    let text = files::read(index)?.ok_or_else(|| bad("no such file".into()))?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| bad("no `weight_map`".into()))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let file = file.as_str().ok_or_else(|| bad(format!("`{tensor}` names no file")))?;
        if file.is_empty() {
            return Err(bad(format!("`weight_map`: `{tensor}` names the file \"\"")));
        }
        if file.contains(['/', '\\']) || file == ".." || file == "." {
            return Err(bad(format!("`{tensor}` points outside the directory: `{file}`")));
        }
        files.insert(dir.join(file));
    }
    Ok(files.into_iter().collect())
}

/// The tensors below one name: `w.pp("self_attn").get("q_proj.weight", &[d, d])`.
#[derive(Clone)]
pub struct Weights {
    store: Arc<Store>,
    path: String,
}

impl Weights {
    /// The tensors below `name`.
    pub fn pp(&self, name: impl std::fmt::Display) -> Weights {
        Weights { store: self.store.clone(), path: self.name(&name.to_string()) }
    }

    fn name(&self, name: &str) -> String {
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
    fn find(&self, full: &str, shape: &[usize]) -> Result<(&str, &Arc<Bytes>, &Entry)> {
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
            return Ok(match kind {
                MadeUp::Random(seed) => random::numbers(seed, &full, shape, inputs),
                MadeUp::Blueprint if shape.len() < 2 => vec![0.0; shape.iter().product()],
                MadeUp::Blueprint => Vec::new(),
            });
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

#[cfg(test)]
mod tests;
