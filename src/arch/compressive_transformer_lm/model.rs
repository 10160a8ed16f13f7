//! The stack: layers that read a segment at a time, and move it into their memories when it is full.

use super::memories::{Held, Memories};
use crate::block::{Activation, Dense, Embedding, Gate, Heads, LayerNorm, Linear, check_ids, prompts};
use crate::error::Result;
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::queue::{self, Table};
use crate::kernel::{slice, tensor};
use crate::memory::{ByRow, State, foreign};
use crate::mixer::segments::{Compress, Queues, rounds};
use crate::model::{Info, Model, Probe, Source};
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// A layer.
pub(super) struct Layer {
    pub norm: LayerNorm,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub out: Linear,
    pub gate: Option<Gate>,
    /// None in layers without memories.
    pub compress: Option<Compress>,
    pub ff_norm: LayerNorm,
    pub up: Linear,
    pub down: Linear,
    pub ff_gate: Option<Gate>,
}

/// The model.
pub(super) struct CompressiveTransformer {
    pub info: Info,
    pub d: usize,
    pub heads: Heads,
    pub tokens: Embedding,
    /// From the embeddings' features to the model's, and back, where they differ.
    pub to_model: Option<Linear>,
    pub from_model: Option<Linear>,
    pub layers: Vec<Layer>,
    /// Of the gated linear unit, which has twice the inner features.
    pub glu: bool,
    pub table: Table,
    pub queues: Queues,
    pub enhanced: bool,
    pub cache: Precision,
    pub output: Dense,
}

/// Parts of a call that end at a boundary at the latest: (row, first token, tokens).
type Round = [(usize, usize, usize)];

impl CompressiveTransformer {
    fn keys(&self) -> Keys {
        Keys::new(self.heads.count, self.heads.width, self.cache)
    }

    fn state(&self, rows: usize, probe: Probe) -> State {
        let held = || Held { rows: Vec::new(), compressed: 0, queue: self.keys(), segment: self.keys() };
        let memories: Memories = ByRow((0..rows).map(|_| self.layers.iter().map(|_| held()).collect()).collect());
        State { seen: vec![0; rows], layers: vec![Box::new(memories)], probe }
    }

    /// Reads t tokens a row: what the last layer hands on, (b, t, d).
    fn read(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let (b, t, d) = (tokens.len(), tokens.first().map_or(0, Vec::len), self.d);
        tokens.iter().try_for_each(|row| check_ids(row, self.info.vocab_size))?;
        let probe = state.probe.clone();
        let memories = state.layers.first_mut().ok_or_else(foreign)?.own::<Memories>()?;
        let mut out = vec![0.0; b * t * d];
        let mut hidden: Vec<Vec<f32>> = if probe.collects() { vec![out.clone(); self.layers.len()] } else { Vec::new() };
        for round in rounds(&state.seen, t, self.queues.segment) {
            let ids: Vec<u32> = round.iter().flat_map(|&(r, first, n)| &tokens[r][first..first + n]).copied().collect();
            let mut xs = probe.time(Phase::Embed, || self.embed(&ids))?;
            for (i, layer) in self.layers.iter().enumerate() {
                if let Some(hidden) = hidden.get_mut(i) {
                    scatter(&xs, &round, (t, d), hidden);
                }
                xs = probe.time(Phase::SelfAttention, || self.attention(i, layer, xs, &round, memories))?;
                xs = probe.time(Phase::FeedForward, || self.feed_forward(layer, xs))?;
            }
            scatter(&xs, &round, (t, d), &mut out);
            probe.time(Phase::SelfAttention, || self.roll(memories));
        }
        state.seen.iter_mut().for_each(|s| *s += t);
        for (i, x) in hidden.into_iter().enumerate() {
            let x = tensor(x, (b, t, d))?;
            probe.record(|| format!("decoder.{i}"), &x);
        }
        let out = tensor(out, (b, t, d))?;
        probe.record(|| format!("decoder.{}", self.layers.len()), &out);
        Ok(out)
    }

    fn embed(&self, ids: &[u32]) -> Result<Vec<f32>> {
        slice(&self.tokens.forward(ids)?, |x| self.to_model.as_ref().map_or_else(|| x.to_vec(), |l| l.apply(x)))
    }

    /// The attention of layer `i` on the tokens of a round, (Σ tokens, d), and what holds it in the stream.
    fn attention(&self, i: usize, layer: &Layer, x: Vec<f32>, round: &Round, memories: &mut Memories) -> Result<Vec<f32>> {
        let d = self.d;
        let normed = layer.norm.forward(&tensor(x.clone(), (x.len() / d, d))?)?;
        let y = slice(&normed, |normed| {
            let [q, k, v] = Linear::apply_all([&layer.q, &layer.k, &layer.v], normed);
            let first = self.layers.iter().position(|l| l.compress.is_some()).unwrap_or(0);
            let mut turns = round.iter().peekable();
            let mut jobs = Vec::with_capacity(round.len());
            let mut at = 0;
            for (r, row) in memories.0.iter_mut().enumerate() {
                let Some(&(_, _, n)) = turns.next_if(|turn| turn.0 == r) else { continue };
                let tokens = at * d..(at + n) * d;
                at += n;
                // the lengths of the queues, which all layers with memories share
                let before = row[first].queue.len();
                let held = &mut row[i];
                held.segment.append(&k[tokens.clone()], &v[tokens.clone()]);
                if layer.compress.is_some() {
                    held.rows.extend_from_slice(&normed[tokens.clone()]);
                }
                let origin = before + self.queues.segment - 1;
                jobs.push(queue::Job { q: &q[tokens], queue: &held.queue, segment: &held.segment, origin, tally: &mut [] });
            }
            let Heads { count, width, scale } = self.heads;
            layer.out.apply(&queue::attend(&mut jobs, queue::Sizes { heads: count, width, scale }, Some(&self.table)))
        })?;
        Ok(residual(layer.gate.as_ref(), y, x))
    }

    fn feed_forward(&self, layer: &Layer, x: Vec<f32>) -> Result<Vec<f32>> {
        let normed = layer.ff_norm.forward(&tensor(x.clone(), (x.len() / self.d, self.d))?)?;
        let y = slice(&normed, |normed| {
            let mut inner = layer.up.apply(normed);
            if self.glu {
                let wide = layer.up.shape().0;
                let half = |of: fn(&[f32]) -> &[f32]| inner.chunks_exact(wide).flat_map(of).copied().collect::<Vec<f32>>();
                let (mut gates, values) = (half(|row| &row[..row.len() / 2]), half(|row| &row[row.len() / 2..]));
                Activation::Gelu.apply(&mut gates);
                gates.iter_mut().zip(&values).for_each(|(g, v)| *g *= v);
                inner = gates;
            } else {
                Activation::Gelu.apply(&mut inner);
            }
            layer.down.apply(&inner)
        })?;
        Ok(residual(layer.ff_gate.as_ref(), y, x))
    }

    /// Moves the full segments into the memories of all layers.
    fn roll(&self, memories: &mut Memories) {
        let segment = self.queues.segment;
        for row in memories.0.iter_mut().filter(|row| row.first().is_some_and(|held| held.segment.len() == segment)) {
            for (held, compress) in row.iter_mut().zip(self.layers.iter().map(|l| &l.compress)) {
                held.segment.clear();
                if let Some(compress) = compress {
                    held.push(self.d, &self.queues, compress);
                }
            }
            let with = || self.layers.iter().enumerate().filter(|(_, l)| l.compress.is_some());
            if self.enhanced {
                let mut rows: Vec<_> = with().map(|(i, _)| (std::mem::take(&mut row[i].rows), row[i].compressed)).collect();
                rows.rotate_left(1);
                with().zip(rows).for_each(|((i, _), rows)| (row[i].rows, row[i].compressed) = rows);
            }
            for (i, layer) in with() {
                let [k, v] = Linear::apply_all([&layer.k, &layer.v], &row[i].rows);
                row[i].queue.clear();
                row[i].queue.append(&k, &v);
            }
        }
    }
}

/// Puts the tokens of a round where they are among those of the call, (b, t, d).
fn scatter(x: &[f32], round: &Round, (t, d): (usize, usize), out: &mut [f32]) {
    let mut rest = x;
    for &(r, first, n) in round {
        let part;
        (part, rest) = rest.split_at(n * d);
        out[(r * t + first) * d..][..n * d].copy_from_slice(part);
    }
}

fn residual(gate: Option<&Gate>, y: Vec<f32>, mut x: Vec<f32>) -> Vec<f32> {
    match gate {
        Some(gate) => gate.apply(y, x),
        None => {
            x.iter_mut().zip(&y).for_each(|(x, y)| *x += y);
            x
        }
    }
}

impl Model for CompressiveTransformer {
    fn info(&self) -> &Info {
        &self.info
    }

    fn encode(&self, source: &Source) -> Result<(State, Vec<u32>)> {
        let fresh = |rows| Ok(self.state(rows, source.probe.clone()));
        prompts(&self.info, source, fresh, |tokens, state| self.read(tokens, state))
    }

    fn state_bytes(&self, _source: usize, target: usize) -> usize {
        let ((recent, compressed), open) = (self.queues.lengths_at(target), self.queues.open_at(target));
        let keys = |n: usize| Keys::bytes_at(self.heads.count, self.heads.width, n, self.cache);
        let with = self.layers.iter().filter(|l| l.compress.is_some()).count();
        let rows = (recent + compressed + open) * self.d * size_of::<f32>();
        self.layers.len() * keys(open) + with * (keys(recent + compressed) + rows)
    }

    fn step_bytes(&self) -> usize {
        let gate = |g: &Option<Gate>| g.as_ref().map_or(0, Gate::bytes);
        let layer = |l: &Layer| {
            let products = [&l.q, &l.k, &l.v, &l.out, &l.up, &l.down].map(Linear::bytes).iter().sum::<usize>();
            products + l.norm.bytes() + l.ff_norm.bytes() + gate(&l.gate) + gate(&l.ff_gate)
        };
        let Queues { segment, memory, compressed, .. } = self.queues;
        let table = Table::held(self.heads.count, segment + memory + compressed, self.heads.width) * size_of::<f32>();
        let ends = [&self.to_model, &self.from_model].into_iter().flatten().map(Linear::bytes).sum::<usize>();
        self.tokens.row_bytes() + ends + self.layers.iter().map(layer).sum::<usize>() + table + self.output.bytes()
    }

    fn encode_bytes(&self, source: usize) -> usize {
        // a round has the tokens of a segment at most
        let (t, d) = (source.min(self.queues.segment), self.d);
        let inner = self.layers.first().map_or(0, |l| l.up.shape().0);
        (source * d + t * (inner + 5 * d)) * size_of::<f32>() + self.state_bytes(0, source)
    }

    fn score(&self, tokens: &[Vec<u32>], state: &mut State) -> Result<Tensor> {
        let xs = self.read(tokens, state)?;
        state.probe.time(Phase::Logits, || match &self.from_model {
            Some(linear) => self.output.forward(&linear.forward(&xs)?),
            None => self.output.forward(&xs),
        })
    }
}
