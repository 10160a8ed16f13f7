//! How tokens exchange information: one file per attention variant, and the registry that `effattn list` prints.

use crate::error::{Error, Result};
use crate::memory::{AnyMemory, Memory};
use candle_core::Tensor;
use std::ops::Range;

mod favor;
mod longformer;
mod lsh;
mod mult_conv;
mod softmax;

pub use favor::Favor;
pub use longformer::Longformer;
pub use lsh::{Buckets, Hashing, Lsh};
pub use mult_conv::{Concat, MultConv, Output, Shape};
pub use softmax::{Kv, Softmax};

/// The causal side of a variant.
pub trait Mixer: Send + Sync + 'static {
    /// What it remembers of the tokens before.
    type Memory: Memory;
    /// An empty memory of `rows` rows.
    fn memory(&self, rows: usize) -> Result<Self::Memory>;
    /// Bytes of one row's memory after `positions` tokens.
    fn bytes_at(&self, positions: usize) -> usize;
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

    fn weight_bytes(&self) -> usize {
        Mixer::weight_bytes(self)
    }

    fn work_bytes(&self, t: usize) -> usize {
        Mixer::work_bytes(self, t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut dyn AnyMemory) -> Result<Tensor> {
        let memory = memory.as_any_mut().downcast_mut().ok_or_else(|| Error::new("the state belongs to another model"))?;
        Mixer::forward(self, xs, memory)
    }
}

/// The bidirectional side of a variant: an encoder's self-attention.
pub trait Reader: Send + Sync {
    /// (Σ n, d) -> (Σ n, d), each document by itself.
    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor>;
    /// Bytes of activations at the peak of reading n tokens.
    fn work_bytes(&self, n: usize) -> usize;
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
}

/// All variants.
pub const REGISTRY: &[Spec] = &[softmax::SPEC, longformer::SPEC, mult_conv::SPEC, favor::SPEC, lsh::SPEC];
