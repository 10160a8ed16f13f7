//! The stack of [`super`]: layers over one stream or two that take turns, over prompts or whole documents.

use super::parts::{Inner, Shift, Wrapped};
use crate::block::{Dense, Embedding, LayerNorm, Positions, ReadsOnly, check_ids, in_a_row, prompts};
use crate::error::Result;
use crate::kernel::{slice, tensor};
use crate::memory::{AnyMemory, Lists, Memory, State, foreign};
use crate::mixer::{Documents, Mixer, Performer, Reader};
use crate::model::{Info, Model, Probe, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// The whole model, as it decodes; [`Bidirectional`] reads with it. [`Info::reads_only`] tells which it is.
pub(super) struct Lm {
    pub info: Info,
    pub tokens: Embedding,
    pub positions: Positions,
    pub layers: Vec<Layer>,
    pub shift: Option<Shift>,
    pub reversible: bool,
    pub norm: LayerNorm,
    pub output: Dense,
}

/// One layer.
pub(super) struct Layer {
    pub attention: (Wrapped, Performer),
    pub feed_forward: (Wrapped, Inner),
}

/// What a layer reads and remembers.
enum Side<'a> {
    /// The memories of attention and, with shifts, of the rows before.
    Causal(&'a mut dyn AnyMemory, Option<[&'a mut Lists; 2]>),
    Documents(&'a Documents),
}

impl Lm {
    fn width(&self) -> usize {
        self.norm.bytes() / (2 * size_of::<f32>())
    }

    /// The normed rows, mixed with their neighbours: attention 0, feed-forward 1.
    fn before(&self, wrapped: &Wrapped, xs: &Tensor, side: &mut Side, half: usize) -> Result<Tensor> {
        let d = self.width();
        let normed = wrapped.norm.forward(xs, d)?;
        let Some(shift) = self.shift else { return Ok(normed) };
        let mut x = slice(&normed, <[f32]>::to_vec)?;
        match side {
            Side::Causal(_, lasts) => {
                let lasts = lasts.as_mut().map(|l| &mut l[half].0).ok_or_else(foreign)?;
                let share = (x.len() / lasts.len().max(1)).max(1);
                x.chunks_mut(share).zip(lasts).for_each(|(x, last)| shift.apply(x, Some(last)));
            }
            Side::Documents(documents) => documents.ranges().for_each(|r| shift.apply(&mut x[r.start * d..r.end * d], None)),
        }
        tensor(x, normed.shape())
    }

    /// What attention adds to x.
    fn attention(&self, layer: &Layer, xs: &Tensor, side: &mut Side) -> Result<Tensor> {
        let (wrapped, attention) = &layer.attention;
        let xs = self.before(wrapped, xs, side, 0)?;
        let out = match side {
            Side::Causal(memory, _) => Mixer::forward(attention, &xs, memory.own()?)?,
            Side::Documents(documents) => Reader::read(attention, &xs, documents)?,
        };
        wrapped.times(out)
    }

    /// What the feed-forward layer adds to x.
    fn feed_forward(&self, layer: &Layer, xs: &Tensor, side: &mut Side) -> Result<Tensor> {
        let (wrapped, inner) = &layer.feed_forward;
        wrapped.times(inner.forward(&self.before(wrapped, xs, side, 1)?)?)
    }

    /// One layer over both streams, which are one if the model is not reversible.
    fn layer(&self, layer: &Layer, (a, b): (Tensor, Tensor), side: &mut Side, probe: &Probe) -> Result<(Tensor, Tensor)> {
        let from = if self.reversible { &b } else { &a };
        let a = (&a + probe.time(Phase::SelfAttention, || self.attention(layer, from, side))?)?;
        let to = if self.reversible { &b } else { &a };
        let b = (to + probe.time(Phase::FeedForward, || self.feed_forward(layer, &a, side))?)?;
        Ok(if self.reversible { (a, b) } else { (b.clone(), b) })
    }

    /// What comes out of the streams.
    fn joined(&self, (a, b): &(Tensor, Tensor)) -> Result<Tensor> {
        if self.reversible { Ok((a + b)?) } else { Ok(a.clone()) }
    }

    /// Embedded rows through all layers; the sides of the layers one after the other. Records `decoder.0` or `encoder.0` to N, before the last norm.
    fn run<'a>(&self, xs: Tensor, probe: &Probe, mut side: impl FnMut() -> Result<Side<'a>>) -> Result<Tensor> {
        let name = if self.info.reads_only.is_some() { "encoder" } else { "decoder" };
        probe.record(|| format!("{name}.0"), &xs);
        let mut streams = (xs.clone(), xs);
        for (i, layer) in self.layers.iter().enumerate() {
            streams = self.layer(layer, streams, &mut side()?, probe)?;
            if probe.collects() {
                let joined = self.joined(&streams)?;
                probe.record(|| format!("{name}.{}", i + 1), &joined);
            }
        }
        self.norm.forward(&self.joined(&streams)?)
    }

    fn state(&self, rows: usize, probe: Probe) -> Result<State> {
        let mut layers: Vec<Box<dyn AnyMemory>> = Vec::new();
        for layer in &self.layers {
            layers.push(Box::new(Mixer::memory(&layer.attention.1, rows)?));
            if let Some(shift) = self.shift {
                layers.push(Box::new(Lasts([Lists::zeros(rows, shift.d), Lists::zeros(rows, shift.d)])));
            }
        }
        Ok(State { seen: vec![0; rows], layers, probe })
    }

    /// Reads t tokens a row, (b, t, d).
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let ids = tokens.concat();
        check_ids(&ids, self.info.vocab_size)?;
        let probe = state.probe.clone();
        let xs = probe.time(Phase::Embed, || self.tokens.forward_at(&ids, &self.positions, state.positions(t).into_iter()))?;
        let mut memories = state.layers.iter_mut();
        let out = self.run(xs.reshape((b, t, ()))?, &probe, || {
            let memory = memories.next().ok_or_else(foreign)?.as_mut();
            let lasts = match self.shift {
                Some(_) => {
                    let Lasts([a, b]) = memories.next().ok_or_else(foreign)?.own::<Lasts>()?;
                    Some([a, b])
                }
                None => None,
            };
            Ok(Side::Causal(memory, lasts))
        })?;
        state.seen.iter_mut().for_each(|s| *s += t);
        Ok(out)
    }

    /// Bytes of weights that a token reads.
    fn weight_bytes(&self) -> usize {
        let layer = |l: &Layer| {
            l.attention.0.norm.bytes() + l.attention.1.weight_bytes() + l.feed_forward.0.norm.bytes() + l.feed_forward.1.bytes()
        };
        let layers: usize = self.layers.iter().map(layer).sum();
        self.tokens.row_bytes() + self.positions.row_bytes() + layers + self.norm.bytes() + self.output.bytes()
    }

    /// Bytes of activations at the peak of reading n tokens: the streams, and what the hungriest layer holds.
    fn work_bytes(&self, n: usize) -> usize {
        let layer = |l: &Layer| Mixer::work_bytes(&l.attention.1, n).max(l.feed_forward.1.work_bytes(n));
        self.layers.iter().map(layer).max().unwrap_or(0) + 2 * n * self.norm.bytes()
    }
}

/// The last normed row before attention and before the feed-forward layer.
#[derive(Clone)]
struct Lasts([Lists; 2]);

impl Memory for Lasts {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.0.iter_mut().try_for_each(|l| Memory::select(l, rows))
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        for Self([a, b]) in others {
            self.0[0].0.extend(a.0);
            self.0[1].0.extend(b.0);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(Memory::bytes).sum()
    }
}

impl Model for Lm {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let fresh = |rows| self.state(rows, source.probe.clone());
        prompts(&self.info, source, fresh, |tokens, state| self.read(tokens, state))
    }

    fn state_bytes(&self, _source: usize, target: usize) -> usize {
        let lasts = self.shift.map_or(0, |s| 2 * s.d * size_of::<f32>());
        self.layers.iter().map(|l| l.attention.1.bytes_at(target) + lasts).sum()
    }

    fn step_bytes(&self) -> usize {
        self.weight_bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        self.work_bytes(source) + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let xs = self.read(tokens, state)?;
        state.probe.time(Phase::Logits, || self.output.forward(&xs))
    }
}

/// The same where it is not causal.
pub(super) struct Bidirectional(pub Lm);

impl ReadsOnly for Bidirectional {
    fn info(&self) -> &Info {
        &self.0.info
    }

    fn read(&self, source: &Source) -> Result<(Tensor, Documents)> {
        let lm = &self.0;
        let (ids, documents) = in_a_row(&lm.info, source)?;
        let embed = || lm.tokens.forward_at(&ids, &lm.positions, documents.positions().into_iter());
        let xs = source.probe.time(Phase::Embed, embed)?;
        Ok((lm.run(xs, &source.probe, || Ok(Side::Documents(&documents)))?, documents))
    }

    fn logits(&self, xs: &Tensor) -> Result<Tensor> {
        self.0.output.forward(xs)
    }

    fn bytes(&self) -> usize {
        self.0.weight_bytes()
    }

    fn work_bytes(&self, n: usize) -> usize {
        self.0.work_bytes(n)
    }
}
