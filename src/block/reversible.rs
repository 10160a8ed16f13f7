//! Reversible layers: two streams that take turns (Kitaev et al. 2020, "Reformer", <https://arxiv.org/abs/2001.04451>, section 3;
//! trax:trax/layers/reversible.py, trax/models/reformer/reformer.py).
//!
//! A half-residual adds to the first stream what f makes of the second, (x₁, x₂) -> (x₁ + f(x₂), x₂); then the streams change places. From what comes out
//! what went in can be told, which saves memory in training; a decode step needs the forward direction alone.

use super::stack::foreign;
use super::{Cells, EncoderLayer, FeedForward, LayerNorm, Recurrent};
use crate::error::Result;
use crate::memory::AnyMemory;
use crate::mixer::{AnyMixer, Documents};
use crate::model::Probe;
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// The two streams, of one shape.
#[derive(Debug, Clone)]
pub struct Streams(pub Tensor, pub Tensor);

impl Streams {
    /// Both the same.
    pub fn both(xs: &Tensor) -> Self {
        Self(xs.clone(), xs.clone())
    }

    /// (x₁ + x₂) / 2.
    pub fn mean(&self) -> Result<Tensor> {
        Ok(((&self.0 + &self.1)? / 2.0)?)
    }

    fn swap(self) -> Self {
        Self(self.1, self.0)
    }

    fn half_residual(self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let add = f(&self.1)?;
        Ok(Self((self.0 + add)?, self.1))
    }
}

/// One decoder layer.
pub struct ReversibleLayer {
    /// Causal attentions with their norms, one after the other.
    pub mixers: Vec<(LayerNorm, Box<dyn AnyMixer>)>,
    /// Feed-forward.
    pub feed_forward: FeedForward,
    /// Its norm.
    pub feed_forward_norm: LayerNorm,
    /// Recurrent units beside it.
    pub recurrent: Option<Recurrent>,
}

/// The decoder's layers.
pub struct Reversible(pub Vec<ReversibleLayer>);

impl Reversible {
    /// Fresh memories of so many rows.
    pub fn memories(&self, rows: usize) -> Result<Vec<Box<dyn AnyMemory>>> {
        let mut all = Vec::new();
        for layer in &self.0 {
            for (_, mixer) in &layer.mixers {
                all.push(mixer.memory(rows)?);
            }
            all.extend(layer.recurrent.as_ref().map(|r| Box::new(r.cells(rows)) as Box<dyn AnyMemory>));
        }
        Ok(all)
    }

    /// Bytes of the memories of one row after `positions` positions.
    pub fn state_bytes(&self, positions: usize) -> usize {
        let layer = |l: &ReversibleLayer| {
            l.mixers.iter().map(|(_, m)| m.bytes_at(positions)).sum::<usize>() + l.recurrent.as_ref().map_or(0, Recurrent::cell_bytes)
        };
        self.0.iter().map(layer).sum()
    }

    /// Bytes of weights that a step of one row reads.
    pub fn step_bytes(&self) -> usize {
        let layer = |l: &ReversibleLayer| {
            let mixers = l.mixers.iter().map(|(norm, m)| norm.bytes() + m.weight_bytes()).sum::<usize>();
            mixers + l.feed_forward.step_bytes() + l.feed_forward_norm.bytes() + l.recurrent.as_ref().map_or(0, Recurrent::bytes)
        };
        self.0.iter().map(layer).sum()
    }

    /// Bytes of activations at the peak of reading t tokens at once, the streams included.
    pub fn work_bytes(&self, t: usize) -> usize {
        let layer =
            |l: &ReversibleLayer| l.mixers.iter().map(|(_, m)| m.work_bytes(t)).max().unwrap_or(0).max(l.feed_forward.work_bytes(t));
        self.0.iter().map(layer).max().unwrap_or(0) + self.0.first().map_or(0, |l| 2 * t * l.feed_forward_norm.bytes())
    }

    /// (b, t, d) twice; the memories have read t more tokens afterwards. Records the mean of the streams as `decoder.0` to `decoder.N`.
    pub fn forward(&self, mut xs: Streams, memories: &mut [Box<dyn AnyMemory>], probe: &Probe) -> Result<Streams> {
        let mut memories = memories.iter_mut();
        let mut next = || memories.next().ok_or_else(foreign);
        for (i, layer) in self.0.iter().enumerate() {
            record(probe, "decoder", i, &xs)?;
            for (norm, mixer) in &layer.mixers {
                let memory = next()?;
                let half = || xs.half_residual(|x| mixer.forward(&norm.forward(x)?, memory.as_mut()));
                xs = probe.time(Phase::SelfAttention, half)?.swap();
            }
            let cells = match &layer.recurrent {
                Some(_) => Some(next()?.as_any_mut().downcast_mut::<Cells>().ok_or_else(foreign)?),
                None => None,
            };
            let half = || {
                xs.half_residual(|x| {
                    let out = layer.feed_forward.forward(&layer.feed_forward_norm.forward(x)?)?;
                    match (&layer.recurrent, cells) {
                        (Some(recurrent), Some(cells)) => Ok((out + recurrent.forward(x, cells)?)?),
                        _ => Ok(out),
                    }
                })
            };
            xs = probe.time(Phase::FeedForward, half)?.swap();
        }
        record(probe, "decoder", self.0.len(), &xs)?;
        Ok(xs)
    }
}

/// An encoder's layers over two streams, (Σ n, d) each; with `two_swaps` the streams change places after the feed-forward layer too. Records the
/// mean of the streams as `encoder.0` to `encoder.N`.
pub fn read(layers: &[EncoderLayer], two_swaps: bool, mut xs: Streams, documents: &Documents, probe: &Probe) -> Result<Streams> {
    for (i, layer) in layers.iter().enumerate() {
        record(probe, "encoder", i, &xs)?;
        let half = || xs.half_residual(|x| layer.reader.read(&layer.reader_norm.forward(x)?, documents));
        xs = probe.time(Phase::SelfAttention, half)?.swap();
        let half = || {
            xs.half_residual(|x| {
                let out = layer.feed_forward.forward(&layer.feed_forward_norm.forward(x)?)?;
                match &layer.recurrent {
                    Some(recurrent) => Ok((out + recurrent.read(x, documents)?)?),
                    None => Ok(out),
                }
            })
        };
        xs = probe.time(Phase::FeedForward, half)?;
        if two_swaps {
            xs = xs.swap();
        }
    }
    record(probe, "encoder", layers.len(), &xs)?;
    Ok(xs)
}

fn record(probe: &Probe, side: &str, layer: usize, xs: &Streams) -> Result<()> {
    if probe.collects() {
        let mean = xs.mean()?;
        probe.record(|| format!("{side}.{layer}"), &mean);
    }
    Ok(())
}
