//! Layers in a row: an encoder over ragged documents, a decoder over a state.

use super::cross::CrossMemory;
use super::reversible::{self, Streams};
use super::{Cells, Cross, FeedForward, Globals, LayerNorm, Recurrent};
use crate::error::{Error, Result};
use crate::memory::{AnyMemory, State, foreign};
use crate::mixer::{AnyMixer, Documents, Reader};
use crate::model::Probe;
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// x + f(norm x).
    Pre,
    /// norm(x + f x).
    Post,
    /// a = x + mixer(x), then norm₁(f a) + norm₂(a): norm₁ is the feed-forward's, norm₂ the mixer's. The layer of Algorithm 1 of Compressive Performers.
    Sum,
    /// Two streams that begin alike and take turns, and their sum behind the last layer: x₁ + mixer(norm x₂), then x₂ + f(norm x₁). Encoders alone.
    Reversible,
}

/// What runs through the layers.
struct Stream {
    xs: Tensor,
    /// What the next layer or the end reads of a pre-norm stack, made in one pass with the sum.
    normed: Option<Tensor>,
}

impl Stream {
    fn new(xs: Tensor) -> Self {
        Self { xs, normed: None }
    }

    /// Adds f; `norm` is f's own norm and `next` the one after it, if there is one.
    fn residual(self, order: Order, norm: &LayerNorm, next: Option<&LayerNorm>, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let Self { xs, normed } = self;
        debug_assert!(matches!(order, Order::Pre | Order::Post), "other layers have no residuals of this kind");
        if order == Order::Post {
            return Ok(Self::new(norm.of_sum(&xs, &f(&xs)?)?));
        }
        let normed = normed.map_or_else(|| norm.forward(&xs), Ok)?;
        let f = f(&normed)?;
        drop(normed);
        match next {
            Some(next) => next.sum_and_norm(&xs, &f).map(|(xs, normed)| Self { xs, normed: Some(normed) }),
            None => Ok(Self::new((xs + f)?)),
        }
    }

    /// What comes out of a stack that ends in `norm`.
    fn end(self, norm: Option<&LayerNorm>) -> Result<Tensor> {
        match (self.normed, norm) {
            (Some(normed), _) => Ok(normed),
            (None, Some(norm)) => norm.forward(&self.xs),
            (None, None) => Ok(self.xs),
        }
    }
}

/// norm₁(f a) + norm₂(a).
fn sum_of_norms(residual: &LayerNorm, linear: &LayerNorm, f: &FeedForward, a: &Tensor) -> Result<Stream> {
    Ok(Stream::new((linear.forward(&f.forward(a)?)? + residual.forward(a)?)?))
}

/// One encoder layer.
pub struct EncoderLayer {
    /// Self-attention.
    pub reader: Box<dyn Reader>,
    /// Its norm.
    pub reader_norm: LayerNorm,
    /// Feed-forward.
    pub feed_forward: FeedForward,
    /// Its norm.
    pub feed_forward_norm: LayerNorm,
    /// Recurrent units beside it, in pre-norm stacks.
    pub recurrent: Option<Recurrent>,
}

/// The encoder's layers and the norm at their end, if there is one.
pub struct Encoder {
    /// Where the layers normalise.
    pub order: Order,
    /// First to last.
    pub layers: Vec<EncoderLayer>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
    /// Rows beside the tokens, in pre-norm stacks that have some.
    pub globals: Option<Globals>,
}

impl Encoder {
    /// (Σ n, d) -> (Σ n, d). Records `encoder.0` (what comes in) to `encoder.N` (what goes out).
    pub fn forward(&self, xs: Tensor, documents: &Documents, probe: &Probe) -> Result<Tensor> {
        if let Some(globals) = self.globals.as_ref().filter(|_| !self.layers.is_empty()) {
            return globals.forward(self, xs, documents, probe);
        }
        if self.order == Order::Reversible {
            return self.reversible(xs, documents, probe);
        }
        let (mut xs, order) = (Stream::new(xs), self.order);
        for (i, layer) in self.layers.iter().enumerate() {
            probe.record(|| format!("encoder.{i}"), &xs.xs);
            let (norm, between) = (&layer.reader_norm, &layer.feed_forward_norm);
            if order == Order::Sum {
                let a = probe.time(Phase::SelfAttention, || Ok::<_, Error>((&xs.xs + layer.reader.read(&xs.xs, documents)?)?))?;
                xs = probe.time(Phase::FeedForward, || sum_of_norms(norm, between, &layer.feed_forward, &a))?;
                continue;
            }
            xs = probe.time(Phase::SelfAttention, || xs.residual(order, norm, Some(between), |xs| layer.reader.read(xs, documents)))?;
            let next = self.layers.get(i + 1).map(|l| &l.reader_norm).or(self.norm.as_ref());
            let beside = layer.recurrent.as_ref().map(|r| (r, xs.xs.clone()));
            let feed_forward = |xs: &Tensor| match &beside {
                None => layer.feed_forward.forward(xs),
                Some((recurrent, raw)) => Ok((layer.feed_forward.forward(xs)? + recurrent.read(raw, documents)?)?),
            };
            xs = probe.time(Phase::FeedForward, || xs.residual(order, between, next, feed_forward))?;
        }
        let xs = xs.end(self.norm.as_ref())?;
        probe.record(|| format!("encoder.{}", self.layers.len()), &xs);
        Ok(xs)
    }

    /// Two streams; the sum of them is what is recorded behind a layer.
    fn reversible(&self, xs: Tensor, documents: &Documents, probe: &Probe) -> Result<Tensor> {
        let (mut streams, timer) = (Streams::both(&xs), probe.timer());
        let mut sum = xs;
        for (i, layer) in self.layers.iter().enumerate() {
            probe.record(|| format!("encoder.{i}"), &sum);
            streams = reversible::read(std::slice::from_ref(layer), true, streams, documents, &timer)?;
            sum = (&streams.0 + &streams.1)?;
        }
        let xs = Stream::new(sum).end(self.norm.as_ref())?;
        probe.record(|| format!("encoder.{}", self.layers.len()), &xs);
        Ok(xs)
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> usize {
        let layer = |l: &EncoderLayer| l.reader.bytes() + l.reader_norm.bytes() + l.feed_forward.step_bytes() + l.feed_forward_norm.bytes();
        self.layers.iter().map(layer).sum::<usize>()
            + self.norm.as_ref().map_or(0, LayerNorm::bytes)
            + self.globals.as_ref().map_or(0, Globals::bytes)
    }

    /// The most tokens of a document, if there is a limit.
    pub fn limit(&self) -> Option<usize> {
        self.layers.iter().filter_map(|l| l.reader.limit()).min()
    }

    /// Bytes of activations at the peak of reading n tokens: the residual stream before and after, and what the hungriest layer holds.
    pub fn work_bytes(&self, n: usize) -> usize {
        let rows = n + self.globals.as_ref().map_or(0, |g| g.count);
        let layer = |l: &EncoderLayer| l.reader.work_bytes(n).max(l.feed_forward.work_bytes(rows));
        let streams = self.layers.first().map_or(0, |l| 2 * rows * l.reader_norm.width() * size_of::<f32>());
        self.layers.iter().map(layer).max().unwrap_or(0) + streams
    }
}

/// One decoder layer.
pub struct DecoderLayer {
    /// Causal self-attention, or what stands in its place.
    pub mixer: Box<dyn AnyMixer>,
    /// Its norm.
    pub mixer_norm: LayerNorm,
    /// Attention over the encoder's output and its norm.
    pub cross: Option<(Cross, LayerNorm)>,
    /// Feed-forward.
    pub feed_forward: FeedForward,
    /// Its norm.
    pub feed_forward_norm: LayerNorm,
    /// Recurrent units beside it, in pre-norm stacks.
    pub recurrent: Option<Recurrent>,
}

/// The decoder's layers and the norm at their end, if there is one.
pub struct Decoder {
    /// Where the layers normalise.
    pub order: Order,
    /// First to last.
    pub layers: Vec<DecoderLayer>,
    /// After the last layer.
    pub norm: Option<LayerNorm>,
}

impl Decoder {
    /// A fresh state of `rows` rows; `encoded` is the encoder's output (Σ n, d) with the documents' lengths.
    pub fn state(&self, rows: usize, encoded: Option<(&Tensor, &[usize])>, probe: Probe) -> Result<State> {
        let mut layers: Vec<Box<dyn AnyMemory>> = Vec::new();
        for layer in &self.layers {
            layers.push(layer.mixer.memory(rows)?);
            if let (Some((cross, _)), Some((xs, lengths))) = (&layer.cross, encoded) {
                layers.push(Box::new(probe.time(Phase::CrossAttention, || cross.memory(xs, lengths))?));
            }
            layers.extend(layer.recurrent.as_ref().map(|r| Box::new(r.cells(rows)) as Box<dyn AnyMemory>));
        }
        Ok(State { seen: vec![0; rows], layers, probe })
    }

    /// Bytes of the state of one row: a document of `source` tokens, `target` tokens read.
    pub fn state_bytes(&self, source: usize, target: usize) -> usize {
        let layer = |l: &DecoderLayer| {
            let cross = l.cross.as_ref().map_or(0, |(c, _)| c.bytes_at(source));
            l.mixer.bytes_at(target) + cross + l.recurrent.as_ref().map_or(0, Recurrent::cell_bytes)
        };
        self.layers.iter().map(layer).sum()
    }

    /// Bytes of that state that a step reads.
    pub fn read_bytes(&self, source: usize, target: usize) -> usize {
        let unread = |l: &DecoderLayer| l.mixer.bytes_at(target).saturating_sub(l.mixer.read_at(target));
        self.state_bytes(source, target) - self.layers.iter().map(unread).sum::<usize>()
    }

    /// Bytes of weights that a step of one row reads: everything but the cross-attention's keys and values, which were projected before, and the units
    /// that a sparse feed-forward layer leaves out.
    pub fn step_bytes(&self) -> usize {
        let layer = |l: &DecoderLayer| {
            let cross = l.cross.as_ref().map_or(0, |(cross, norm)| cross.step_bytes() + norm.bytes());
            let recurrent = l.recurrent.as_ref().map_or(0, Recurrent::bytes);
            l.mixer.weight_bytes() + l.mixer_norm.bytes() + cross + l.feed_forward.step_bytes() + l.feed_forward_norm.bytes() + recurrent
        };
        self.layers.iter().map(layer).sum::<usize>() + self.norm.as_ref().map_or(0, LayerNorm::bytes)
    }

    /// Bytes of activations at the peak of reading t tokens at once.
    pub fn work_bytes(&self, t: usize) -> usize {
        let layer = |l: &DecoderLayer| l.mixer.work_bytes(t).max(l.feed_forward.work_bytes(t));
        self.layers.iter().map(layer).max().unwrap_or(0)
            + self.layers.first().map_or(0, |l| 2 * t * l.mixer_norm.width() * size_of::<f32>())
    }

    /// (b, t, d) -> (b, t, d); every row of the state has read t more tokens afterwards. Records `decoder.0` to `decoder.N`.
    pub fn forward(&self, xs: Tensor, state: &mut State) -> Result<Tensor> {
        let (_, t, _) = xs.dims3()?;
        let probe = state.probe.clone();
        let (mut xs, order) = (Stream::new(xs), self.order);
        let mut memories = state.layers.iter_mut();
        let mut next = || memories.next().ok_or_else(foreign);
        for (i, layer) in self.layers.iter().enumerate() {
            probe.record(|| format!("decoder.{i}"), &xs.xs);
            let (memory, last) = (next()?, &layer.feed_forward_norm);
            if order == Order::Sum {
                let a = probe.time(Phase::SelfAttention, || Ok::<_, Error>((&xs.xs + layer.mixer.forward(&xs.xs, memory.as_mut())?)?))?;
                xs = probe.time(Phase::FeedForward, || sum_of_norms(&layer.mixer_norm, last, &layer.feed_forward, &a))?;
                continue;
            }
            let between = layer.cross.as_ref().map_or(last, |(_, norm)| norm);
            xs = probe.time(Phase::SelfAttention, || {
                xs.residual(order, &layer.mixer_norm, Some(between), |xs| layer.mixer.forward(xs, memory.as_mut()))
            })?;
            if let Some((cross, norm)) = &layer.cross {
                let memory = next()?.own::<CrossMemory>()?;
                xs = probe.time(Phase::CrossAttention, || xs.residual(order, norm, Some(last), |xs| cross.forward(xs, memory)))?;
            }
            let after = self.layers.get(i + 1).map(|l| &l.mixer_norm).or(self.norm.as_ref());
            let beside = match &layer.recurrent {
                Some(recurrent) => {
                    let cells = next()?.own::<Cells>()?;
                    Some(probe.time(Phase::FeedForward, || recurrent.forward(&xs.xs, cells))?)
                }
                None => None,
            };
            let feed_forward = |xs: &Tensor| match &beside {
                None => layer.feed_forward.forward(xs),
                Some(beside) => Ok((layer.feed_forward.forward(xs)? + beside)?),
            };
            xs = probe.time(Phase::FeedForward, || xs.residual(order, last, after, feed_forward))?;
        }
        let xs = xs.end(self.norm.as_ref())?;
        probe.record(|| format!("decoder.{}", self.layers.len()), &xs);
        state.seen.iter_mut().for_each(|s| *s += t);
        Ok(xs)
    }
}
