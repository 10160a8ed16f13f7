//! Tables and outputs for large vocabularies, cut into clusters of falling frequency: adaptive input (Baevski and Auli 2018,
//! <https://arxiv.org/abs/1809.10853>) and adaptive softmax (Grave et al. 2016, <https://arxiv.org/abs/1609.04309>), as Transformer-XL has them.
//!
//! Cluster i holds the tokens from c_i up to c_{i+1}, in d_i = ⌊d_embed / div^i⌋ features; P_i (d, d_i) projects them to those of the model and back:
//!
//! x(t) = √d · P_i e(t); y_i = E_i (P_iᵀ h) + b_i
//!
//! log p(t) = log softmax([y_0 ; W_c (P_0ᵀ h) + b_c])(t) for the tokens of cluster 0, and for others that of their cluster's slot in there, plus
//! log softmax(y_i)(t − c_i).
//!
//! | here | reference |
//! |---|---|
//! | `ends` | `cutoffs`, and V |
//! | `slots` | W_c, b_c: `cluster_weight`, `cluster_bias` |
//!
//! Reference: transformers:src/transformers/models/deprecated/transfo_xl/modeling_transfo_xl_utilities.py. Its `log_prob` and kimiyoung's PyTorch code take the slots
//! in the opposite order of its `forward`: [`ClusterOrder`].

use super::{Embedding, Linear};
use crate::error::{Error, Result};
use crate::kernel::elementwise::log_sum_exp;
use crate::kernel::linear::Layout;
use crate::kernel::{Shared, pool, slice, tensor};
use crate::weights::{Form, Weights};
use candle_core::Tensor;
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;

/// Which slot of the head stands for which cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterOrder {
    /// The first slot is the first cluster's: transformers, and the TensorFlow code that trained its checkpoints.
    #[default]
    Hf,
    /// The last slot is the first cluster's: the PyTorch code of Transformer-XL's authors.
    Kimiyoung,
}

/// How a vocabulary is cut, and what input and output share.
#[derive(Debug, Clone)]
pub struct Adaptive {
    /// Where clusters end: `cutoffs`, and V.
    pub ends: Vec<usize>,
    /// Features of the model.
    pub d: usize,
    /// Features of the first cluster.
    pub d_embed: usize,
    /// Each cluster has so many times fewer features than the one before; 1: all clusters lie in one table.
    pub div: usize,
    /// Whether the output's tables are the input's.
    pub tie_tables: bool,
    /// For each cluster whether the output's projection is the input's; missing ones are not.
    pub tie_projections: Vec<bool>,
    /// Slots of the head.
    pub order: ClusterOrder,
}

impl Adaptive {
    /// Fails at cuts and sizes that make no sense.
    pub fn check(&self) -> Result<()> {
        let clusters = self.ends.len();
        let ascending = self.ends.first().is_some_and(|c| *c > 0) && self.ends.windows(2).all(|w| w[0] < w[1]);
        if !ascending {
            return Err(Error::new(format!("config.json: `cutoffs` and `vocab_size` {:?} do not ascend from 1", self.ends))
                .hint("each cutoff is the first token of a cluster, the vocabulary the end of the last"));
        }
        if self.div == 0 || (0..clusters).any(|i| self.width(i) == 0) {
            let (e, div) = (self.d_embed, self.div);
            return Err(Error::new(format!(
                "config.json: `d_embed` {e} divided by `div_val` {div} leaves no features for the last of {clusters} clusters"
            ))
            .hint("`div_val` is 1 or more, and `d_embed` enough for every cluster"));
        }
        Ok(())
    }

    /// Features of cluster i.
    fn width(&self, i: usize) -> usize {
        u32::try_from(i).ok().and_then(|i| self.div.checked_pow(i)).map_or(0, |div| self.d_embed.checked_div(div).unwrap_or(0))
    }

    fn tokens(&self, i: usize) -> Range<usize> {
        i.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[i]
    }

    /// Where the numbers of cluster i lie: number of their tensors, and what of a table is theirs.
    fn place(&self, i: usize) -> (usize, Form) {
        let (tokens, inputs) = (self.tokens(i), self.width(i));
        let v = self.ends.last().copied().unwrap_or(0);
        let form = |of| Form { outputs: tokens.len(), inputs, layout: Layout::OutIn, of };
        if self.div == 1 { (0, form((tokens.start, v))) } else { (i, form((0, tokens.len()))) }
    }

    fn tied(&self, i: usize) -> bool {
        self.tie_projections.get(i).copied().unwrap_or(false)
    }

    /// `emb_layers.{i}.weight`, `emb_projs.{i}` below `input`, `out_layers.{i}`, `out_projs.{i}`, `cluster_weight` and `cluster_bias` below `output`. Of what
    /// both share, one copy is enough: the input's if it is there.
    pub fn load(&self, input: &Weights, output: &Weights) -> Result<(AdaptiveEmbedding, AdaptiveSoftmax)> {
        self.check()?;
        let (mut parts, mut tails) = (Vec::new(), Vec::new());
        for i in 0..self.ends.len() {
            let (n, form) = self.place(i);
            let (w, table, bias) = (format!("emb_layers.{n}.weight"), format!("out_layers.{n}.weight"), format!("out_layers.{n}.bias"));
            let bias = output.numbers(&bias, &[form.of.1])?[form.of.0..form.of.0 + form.outputs].to_vec();
            output.holds(bias.len());
            let packed = |(w, name): (&Weights, &str), bias| Ok::<_, Error>(Arc::new(w.packed(name, &form, bias)?));
            let (embedding, rows) = if self.tie_tables {
                let shared = packed(either((input, &w), (output, &table)), Some(bias))?;
                (Embedding::new(shared.clone(), 1.0), shared)
            } else {
                let rows = input.rows(&w, &[form.of.1, form.inputs], &form)?;
                (Embedding::of_rows(rows), packed((output, &table), Some(bias))?)
            };
            let projected = self.div > 1 || self.d != self.d_embed;
            let (from, to) = (format!("emb_projs.{n}"), format!("out_projs.{i}"));
            let sizes = (self.d, form.inputs);
            let up = |(w, name): (&Weights, &str)| {
                Ok::<_, Error>(Linear::from_packed(Arc::new(w.packed(name, &Form::whole(sizes, Layout::OutIn), None)?)))
            };
            let down = |(w, name): (&Weights, &str)| {
                Ok::<_, Error>(Linear::from_packed(Arc::new(w.packed(name, &Form::whole((sizes.1, sizes.0), Layout::InOut), None)?)))
            };
            let projections = match (projected, self.tied(i)) {
                (false, _) => (None, None),
                (true, true) => {
                    let shared = either((input, &from), (output, &to));
                    (Some(up(shared)?), Some(down(shared)?))
                }
                (true, false) => (Some(up((input, &from))?), Some(down((output, &to))?)),
            };
            parts.push(Part { tokens: self.tokens(i), table: embedding, projection: projections.0 });
            tails.push(Tail { tokens: self.tokens(i), projection: projections.1, table: Linear::from_packed(rows) });
        }
        let n = self.ends.len() - 1;
        let slots = match n {
            0 => None,
            n => {
                let bias = output.get("cluster_bias", &[n])?;
                Some(Linear::from_packed(Arc::new(output.packed(
                    "cluster_weight",
                    &Form::whole((n, self.d_embed), Layout::OutIn),
                    Some(bias),
                )?)))
            }
        };
        let vocabulary = self.ends.last().copied().unwrap_or(0);
        let input = AdaptiveEmbedding { parts, d: self.d, scale: (self.d as f32).sqrt() };
        Ok((input, AdaptiveSoftmax { tails, slots, order: self.order, vocabulary }))
    }
}

/// The one of two names of the same tensor that is there; the other, if it is there too, counts as read.
fn either<'a>(first: (&'a Weights, &'a str), second: (&'a Weights, &'a str)) -> (&'a Weights, &'a str) {
    match (first.0.has(first.1), second.0.has(second.1)) {
        (false, true) => second,
        (_, twice) => {
            if twice {
                second.0.skip(second.1);
            }
            first
        }
    }
}

/// Token table in clusters.
#[derive(Debug)]
pub struct AdaptiveEmbedding {
    parts: Vec<Part>,
    d: usize,
    scale: f32,
}

#[derive(Debug)]
struct Part {
    tokens: Range<usize>,
    table: Embedding,
    projection: Option<Linear>,
}

impl AdaptiveEmbedding {
    /// Bytes that one token reads at most: its row, and the projection of its cluster.
    pub fn row_bytes(&self) -> usize {
        self.parts.iter().map(|p| p.table.row_bytes() + p.projection.as_ref().map_or(0, Linear::bytes)).max().unwrap_or(0)
    }

    /// The rows of `ids`, which are in the vocabulary: (ids, d).
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let mut out = vec![0.0; ids.len() * self.d];
        for part in &self.parts {
            let mine: Vec<usize> = (0..ids.len()).filter(|i| part.tokens.contains(&(ids[*i] as usize))).collect();
            if mine.is_empty() {
                continue;
            }
            let rows = part.table.forward(&mine.iter().map(|i| ids[*i] - part.tokens.start as u32).collect::<Vec<_>>())?;
            let rows = slice(&rows, |rows| part.projection.as_ref().map_or_else(|| rows.to_vec(), |p| p.apply(rows)))?; // (mine, d)
            for (i, row) in mine.iter().zip(rows.chunks_exact(self.d)) {
                out[i * self.d..(i + 1) * self.d].iter_mut().zip(row).for_each(|(out, x)| *out = x * self.scale);
            }
        }
        tensor(out, (ids.len(), self.d))
    }
}

/// Output in clusters: logarithms of probabilities.
#[derive(Debug)]
pub struct AdaptiveSoftmax {
    /// The first is the head's shortlist.
    tails: Vec<Tail>,
    /// The other clusters' places in the head.
    slots: Option<Linear>,
    order: ClusterOrder,
    vocabulary: usize,
}

#[derive(Debug)]
struct Tail {
    tokens: Range<usize>,
    projection: Option<Linear>,
    table: Linear,
}

impl AdaptiveSoftmax {
    /// Bytes of weights: a step reads all of them, as it tells the probability of every token.
    pub fn bytes(&self) -> usize {
        let tail = |t: &Tail| t.projection.as_ref().map_or(0, Linear::bytes) + t.table.bytes();
        self.tails.iter().map(tail).sum::<usize>() + self.slots.as_ref().map_or(0, Linear::bytes)
    }

    /// (…, d) -> (…, V).
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut shape = xs.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.vocabulary;
        }
        tensor(slice(xs, |x| self.apply(x))?, shape)
    }

    /// Slot of cluster i ≥ 1.
    fn slot(&self, i: usize) -> usize {
        match self.order {
            ClusterOrder::Hf => i - 1,
            ClusterOrder::Kimiyoung => self.tails.len() - 1 - i,
        }
    }

    /// Rows of numbers, (n, d) -> (n, V).
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let (mut scores, mut slots) = (Vec::with_capacity(self.tails.len()), Vec::new());
        for (i, tail) in self.tails.iter().enumerate() {
            let projected = tail.projection.as_ref().map(|p| p.apply(x));
            let x = projected.as_deref().unwrap_or(x);
            match (i, &self.slots) {
                (0, Some(head)) => {
                    slots = head.apply(x);
                    scores.push(tail.table.apply(x));
                }
                _ => scores.push(tail.table.apply(x)),
            }
        }
        let (v, clusters, short) = (self.vocabulary, self.tails.len() - 1, self.tails[0].tokens.len());
        let n = scores[0].len() / short;
        let mut out = vec![0.0; n * v];
        let target = Shared(out.as_mut_ptr());
        pool::each(n, |row| {
            // SAFETY: each task has a row
            let out = unsafe { std::slice::from_raw_parts_mut(target.add(row * v).0, v) };
            let slots = &slots[row * clusters..(row + 1) * clusters];
            let (top, sum) = log_sum_exp(&[&scores[0][row * short..(row + 1) * short], slots].concat());
            let rest = sum.ln();
            for (i, (tail, scores)) in self.tails.iter().zip(&scores).enumerate() {
                let size = tail.tokens.len();
                let scores = &scores[row * size..(row + 1) * size];
                // the logarithm of what the cluster's own sum is divided by, over the probability of the cluster
                let (own, less) = match i {
                    0 => (top, rest),
                    _ => {
                        let (own, sum) = log_sum_exp(scores);
                        (own, sum.ln() + f64::from(top) + rest - f64::from(slots[self.slot(i)]))
                    }
                };
                for (out, s) in out[tail.tokens.clone()].iter_mut().zip(scores) {
                    *out = (f64::from(*s) - f64::from(own) - less) as f32;
                }
            }
        });
        out
    }
}

#[cfg(test)]
mod tests;
