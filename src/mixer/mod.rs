//! How tokens exchange information: one file per attention variant, and the registry that `effattn list` prints.

use crate::block::{Dense, Heads, Linear, Projections};
use crate::error::{Error, Result};
use crate::memory::{AnyMemory, Memory};
use crate::typed::typed;
use crate::weights::Weights;
use candle_core::Tensor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::ops::Range;

mod bigbird;
mod compressive;
mod compressive_performer;
mod distance_buckets;
mod favor;
mod linformer;
mod linformer_blockwise;
mod longformer;
mod longt5;
mod lsh;
mod mult_conv;
mod pegasus_x;
mod performer;
pub(crate) mod segments;
mod softmax;
mod sparse;
mod sparse_fixed;
mod sparse_strided;
mod transformer_xl;

pub use bigbird::{BigBird, Draw, Pattern};
pub use compressive::Compressive;
pub use compressive_performer::CompressivePerformer;
pub use distance_buckets::{DistanceBuckets, Sides};
pub use favor::Favor;
pub(crate) use linformer::columns as linformer_columns;
pub use linformer::{Linformer, Squeeze, When};
pub use linformer_blockwise::LinformerBlockwise;
pub use longformer::Longformer;
pub use longt5::{LongT5, Slots};
pub use lsh::{Buckets, Hashing, Lsh};
pub use mult_conv::{Concat, MultConv, Output, Shape};
pub use pegasus_x::PegasusX;
pub use performer::{Performer, Window, Windows};
pub use softmax::{Kv, Relation, Softmax};
pub use transformer_xl::{Past, Reach, Segment, Start, TransformerXl};

/// The causal side of a variant.
pub trait Mixer: Send + Sync + 'static {
    /// What it remembers of the tokens before.
    type Memory: Memory;
    /// An empty memory of `rows` rows.
    fn memory(&self, rows: usize) -> Result<Self::Memory>;
    /// Bytes of one row's memory after `positions` tokens.
    fn bytes_at(&self, positions: usize) -> usize;
    /// Bytes of one row's memory that a step behind `positions` tokens reads: all of it unless the variant leaves some alone.
    fn read_at(&self, positions: usize) -> usize {
        self.bytes_at(positions)
    }
    /// Bytes of weights that a step reads.
    fn weight_bytes(&self) -> usize;
    /// Bytes of activations at the peak of reading t tokens at once, the memory not counted.
    fn work_bytes(&self, t: usize) -> usize;
    /// Reads t tokens a row: (b, t, d) -> (b, t, d); the memory has t more afterwards. Any cut of a sequence into calls gives the same numbers.
    fn forward(&self, xs: &Tensor, memory: &mut Self::Memory) -> Result<Tensor>;
}

/// A [`Mixer`] whose memory only it knows.
pub trait AnyMixer: Send + Sync {
    /// See [`Mixer::memory`].
    fn memory(&self, rows: usize) -> Result<Box<dyn AnyMemory>>;
    /// See [`Mixer::bytes_at`].
    fn bytes_at(&self, positions: usize) -> usize;
    /// See [`Mixer::read_at`].
    fn read_at(&self, positions: usize) -> usize;
    /// See [`Mixer::weight_bytes`].
    fn weight_bytes(&self) -> usize;
    /// See [`Mixer::work_bytes`].
    fn work_bytes(&self, t: usize) -> usize;
    /// See [`Mixer::forward`].
    fn forward(&self, xs: &Tensor, memory: &mut dyn AnyMemory) -> Result<Tensor>;
}

impl<M: Mixer> AnyMixer for M {
    fn memory(&self, rows: usize) -> Result<Box<dyn AnyMemory>> {
        Ok(Box::new(Mixer::memory(self, rows)?))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        Mixer::bytes_at(self, positions)
    }

    fn read_at(&self, positions: usize) -> usize {
        Mixer::read_at(self, positions)
    }

    fn weight_bytes(&self) -> usize {
        Mixer::weight_bytes(self)
    }

    fn work_bytes(&self, t: usize) -> usize {
        Mixer::work_bytes(self, t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut dyn AnyMemory) -> Result<Tensor> {
        Mixer::forward(self, xs, memory.own()?)
    }
}

/// The bidirectional side of a variant: an encoder's self-attention.
pub trait Reader: Send + Sync {
    /// (Σ n, d) -> (Σ n, d), each document by itself.
    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor>;
    /// What runs over a document of n tokens, where that depends on n.
    fn ran(&self, _n: usize) -> Option<String> {
        None
    }
    /// Bytes of activations at the peak of reading n tokens.
    fn work_bytes(&self, n: usize) -> usize;
    /// Bytes of weights.
    fn bytes(&self) -> usize;
    /// The most tokens of a document, if there is a limit.
    fn limit(&self) -> Option<usize> {
        None
    }
}

/// Where the documents of a ragged batch lie in (Σ n, d), one after the other without padding.
#[derive(Debug, Clone)]
pub struct Documents {
    lengths: Vec<usize>,
    global: Vec<Vec<usize>>,
}

impl Documents {
    /// Of these lengths; `global` are the positions with global attention in each, for variants that have it.
    pub fn new(lengths: Vec<usize>, mut global: Vec<Vec<usize>>) -> Result<Self> {
        global.resize(lengths.len(), Vec::new());
        for (n, positions) in lengths.iter().zip(&mut global) {
            positions.sort_unstable();
            positions.dedup();
            if let Some(p) = positions.iter().find(|p| *p >= n) {
                return Err(Error::new(format!("global attention at position {p}, but the document has {n} tokens")));
            }
        }
        Ok(Self { lengths, global })
    }

    /// Tokens of each.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The position of each row in its document.
    pub fn positions(&self) -> Vec<usize> {
        self.lengths.iter().flat_map(|&n| 0..n).collect()
    }

    /// Positions with global attention in each, ascending.
    pub fn global(&self) -> &[Vec<usize>] {
        &self.global
    }

    /// The rows of each.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.lengths.iter().scan(0, |at, n| {
            *at += n;
            Some(*at - n..*at)
        })
    }
}

/// How the memory of a variant grows with the tokens read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// In proportion.
    Linear,
    /// Not at all: it stays as large as it is.
    Constant,
    /// In proportion until its queues are full, then no more.
    Bounded,
    /// None: it reads whole documents (encoder only).
    None,
}

/// One line of the registry.
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// How its memory grows.
    pub state: Growth,
    /// Whether it can decode.
    pub causal: bool,
    /// Whether it can encode.
    pub bidirectional: bool,
    /// Builds it for a causal stack of `effattn_lm`, from its entry `mixer` of config.json.
    pub mixer: Option<LoadMixer>,
    /// The same for a bidirectional stack.
    pub reader: Option<LoadReader>,
    /// Entries `mixer` that a test of every variant takes: 24 features, 3 heads, texts of up to 64 tokens.
    pub tiny: &'static [&'static str],
}

/// See [`Spec::mixer`].
pub type LoadMixer = fn(&Value, &Place) -> Result<Box<dyn AnyMixer>>;
/// See [`Spec::reader`].
pub type LoadReader = fn(&Value, &Place) -> Result<Box<dyn Reader>>;

/// Where in a model a variant stands, and which tensors are its own.
pub struct Place<'a> {
    /// The tensors of this layer's mixer.
    pub w: &'a Weights,
    /// All tensors, for what layers share.
    pub root: &'a Weights,
    /// Features.
    pub d: usize,
    /// Heads, scores times 1/√width.
    pub heads: Heads,
    /// Number of the layer, from 0.
    pub layer: usize,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the output has one.
    pub out_bias: bool,
    /// `init_mem` that the caller asks for, instead of the configuration's own.
    pub init_mem: Option<&'a str>,
}

impl Place<'_> {
    /// `q_proj`, `k_proj`, `v_proj` (h w, d) and `out_proj` (d, h w).
    pub fn projections(&self) -> Result<Projections> {
        let inner = self.heads.count * self.heads.width;
        let one = |name: &str| self.linear(name, (inner, self.d), self.qkv_bias);
        Ok(Projections {
            q: one("q_proj")?,
            k: one("k_proj")?,
            v: one("v_proj")?,
            out: self.linear("out_proj", (self.d, inner), self.out_bias)?,
        })
    }

    /// One of them.
    pub fn linear(&self, name: &str, sizes: (usize, usize), bias: bool) -> Result<Dense> {
        let w = self.w.pp(name);
        Ok(if bias { Linear::load(&w, sizes)? } else { Linear::load_plain(&w, sizes)? }.into())
    }
}

/// The options of an entry `mixer` of config.json, its name left out. Fails at an unknown one.
pub fn options<O: DeserializeOwned>(entry: &Value) -> Result<O> {
    let mut options = entry.clone();
    if let Some(options) = options.as_object_mut() {
        options.remove("name");
    }
    typed(&options).map_err(|e| {
        let name = entry["name"].as_str().unwrap_or("?");
        Error::new(format!("config.json: `mixer` \"{name}\": {e}")).hint("docs/formats.md has the options of each")
    })
}

/// The variant that an entry `mixer` of config.json names.
pub fn find(entry: &Value) -> Result<&'static Spec> {
    let names = || REGISTRY.iter().filter(|s| s.mixer.is_some() || s.reader.is_some()).map(|s| s.name).collect::<Vec<_>>().join(", ");
    let wanted = entry["name"].as_str().ok_or_else(|| {
        Error::new(format!("config.json: `mixer` {entry} has no `name`"))
            .hint(format!("it is an object with the name of a variant: {}", names()))
    })?;
    let what = match REGISTRY.iter().find(|s| s.name == wanted) {
        Some(spec) if spec.mixer.is_some() || spec.reader.is_some() => return Ok(spec),
        Some(_) => "stands in models of its own alone",
        None => "is not known",
    };
    Err(Error::new(format!("config.json: `mixer` \"{wanted}\" {what}")).hint(format!("known are {}", names())))
}

/// Why a variant that reads cannot stand in a causal stack, where there is more to say than that, and what can in its place.
pub(crate) fn not_causal(name: &str) -> Option<(&'static str, &'static str)> {
    (name == linformer::SPEC.name).then_some(linformer::NOT_CAUSAL)
}

/// All variants.
pub const REGISTRY: &[Spec] = &[
    softmax::SPEC,
    longformer::SPEC,
    longt5::LOCAL,
    longt5::TRANSIENT_GLOBAL,
    bigbird::SPEC,
    pegasus_x::SPEC,
    mult_conv::SPEC,
    favor::SPEC,
    lsh::SPEC,
    sparse_strided::SPEC,
    sparse_fixed::SPEC,
    transformer_xl::SPEC,
    linformer::SPEC,
    linformer_blockwise::SPEC,
    performer::SPEC,
    compressive::SPEC,
    compressive_performer::SPEC,
];
