//! Reversible layers: two streams that take turns (Kitaev et al. 2020, "Reformer", <https://arxiv.org/abs/2001.04451>, section 3;
//! trax:trax/layers/reversible.py, trax/models/reformer/reformer.py).
//!
//! A half-residual adds to the first stream what f makes of the second, (x₁, x₂) -> (x₁ + f(x₂), x₂); then the streams change places. From what comes out
//! what went in can be told, which saves memory in training; a decode step needs the forward direction alone.

use super::{Cells, EncoderLayer, FeedForward, LayerNorm, Recurrent};
use crate::error::Result;
use crate::memory::{AnyMemory, foreign};
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
                Some(_) => Some(next()?.own::<Cells>()?),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Activation, Dense, Heads, Linear, Projections};
    use crate::kernel::tensor;
    use crate::kernel::testing::noise;
    use crate::mixer::{Mixer, Softmax};
    use crate::weights::{Store, Weights};
    use std::sync::Arc;

    const D: usize = 12;
    const N: usize = 9;

    fn norm(w: &Weights, name: &str) -> LayerNorm {
        LayerNorm::load_scale(&w.pp(name), D, 1e-6, true).unwrap()
    }

    fn softmax(w: &Weights) -> Softmax {
        let one = |name: &str| Dense::from(Linear::load_in_out(&w.pp(name), (D, D)).unwrap());
        let projections = Projections { q: one("q"), k: one("k"), v: one("v"), out: one("o") };
        Softmax::new(Heads::new(D, 3).unwrap(), projections)
    }

    fn feed_forward(w: &Weights) -> FeedForward {
        let one = |name: &str, sizes| Linear::load_in_out(&w.pp(name), sizes).unwrap();
        FeedForward::new(one("up", (20, D)), one("down", (D, 20)), Activation::Relu)
    }

    fn weights() -> Weights {
        Arc::new(Store::random(5)).root()
    }

    /// Two streams of noise with these dimensions in front of the features.
    fn streams(front: &[usize]) -> Streams {
        let shape = [front, &[N, D]].concat();
        let one = |seed| tensor(noise(N * D, seed), shape.clone()).unwrap();
        Streams(one(1), one(2))
    }

    fn same(got: &Streams, want: &Streams) {
        for (got, want) in [(&got.0, &want.0), (&got.1, &want.1)] {
            let [got, want] = [got, want].map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5), "{got:?} {want:?}");
        }
    }

    /// From what a decoder layer gives, what it was given: its half-residuals taken away again, last first.
    #[test]
    fn a_decoder_layer_can_be_undone() {
        let w = weights();
        for attentions in [1, 2] {
            let mixer = |a: usize| -> (LayerNorm, Box<dyn AnyMixer>) { (norm(&w.pp(a), "norm"), Box::new(softmax(&w.pp(a)))) };
            let mixers = (0..attentions).map(mixer).collect();
            let layer = ReversibleLayer { mixers, feed_forward: feed_forward(&w), feed_forward_norm: norm(&w, "ff"), recurrent: None };
            let stack = Reversible(vec![layer]);
            let x = streams(&[1]);
            let y = stack.forward(x.clone(), &mut stack.memories(1).unwrap(), &Probe::default()).unwrap();
            let layer = &stack.0[0];
            // the places were changed after each half-residual
            let Streams(b, a) = y;
            let mut undone = Streams((a - layer.feed_forward.forward(&layer.feed_forward_norm.forward(&b).unwrap()).unwrap()).unwrap(), b);
            for attention in (0..attentions).rev() {
                let Streams(b, a) = undone;
                let (norm, mixer) = (norm(&w.pp(attention), "norm"), softmax(&w.pp(attention)));
                let added = Mixer::forward(&mixer, &norm.forward(&b).unwrap(), &mut Mixer::memory(&mixer, 1).unwrap()).unwrap();
                undone = Streams((a - added).unwrap(), b);
            }
            same(&undone, &x);
        }
    }

    #[test]
    fn an_encoder_layer_can_be_undone_with_one_swap_and_with_two() {
        let w = weights();
        let layer = EncoderLayer {
            reader: Box::new(softmax(&w)),
            reader_norm: norm(&w, "norm"),
            feed_forward: feed_forward(&w),
            feed_forward_norm: norm(&w, "ff"),
            recurrent: None,
        };
        let layers = [layer];
        let documents = Documents::new(vec![5, 4], vec![]).unwrap();
        for two_swaps in [false, true] {
            let x = streams(&[]);
            let y = read(&layers, two_swaps, x.clone(), &documents, &Probe::default()).unwrap();
            let Streams(a, b) = if two_swaps { Streams(y.1, y.0) } else { y };
            let a = (a - layers[0].feed_forward.forward(&layers[0].feed_forward_norm.forward(&b).unwrap()).unwrap()).unwrap();
            let added = layers[0].reader.read(&layers[0].reader_norm.forward(&a).unwrap(), &documents).unwrap();
            same(&Streams((b - added).unwrap(), a), &x);
        }
    }
}
