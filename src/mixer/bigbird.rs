//! BigBird's attention by blocks: the first and the last block see and are seen by all, the others see their neighbours and a few random blocks (Zaheer et al.
//! 2020, <https://arxiv.org/abs/2007.14062>, section 2, figure 3, appendix D), as BigBirdPegasus's encoder has it
//! (transformers:src/transformers/models/bigbird_pegasus/modeling_bigbird_pegasus.py).
//!
//! A text of n tokens is cut into m = ⌈n / b⌉ blocks, of which the last may be short. The rows of block i see, in one softmax, the keys of
//!
//! | i | blocks |
//! |---|---|
//! | 0, m − 1 | all |
//! | 1 … m − 2 | 0; those of i − 1, i, i + 1 that are neither 0 nor m − 1; m − 1; the r blocks of R(h, i), each as often as it stands there |
//!
//! R(h, i), the random blocks of head h, depend on who draws them ([`Draw`]):
//! - In evaluation the reference draws none, and leaves its table of zeros as it is: block 0 stands in it r times and so counts 1 + r times, which is ln(1 + r) more for its scores.
//! - In training it draws them with numpy's legacy generator, for a layer with the layer's number as seed: [`random`] draws the same.
//!
//! A text of at most (5 + 2r)·b tokens is read with full attention ([`Pattern::switch`]).
//!
//! | here | paper |
//! |---|---|
//! | `block` | b |
//! | `random` | r |
//! | blocks at both ends | g = 2 global blocks (ITC) |
//! | the three of [`Visible::Near`] | w = 3 |
//!
//! Loads: `self_attn.self.{query,key,value}` and `self_attn.output` of BigBirdPegasus.
//!
//! Where it departs from the reference:
//! - Nothing is padded: the reference fills a batch up to a multiple of b and takes 10⁴ from the scores of padding, which leaves e⁻¹⁰⁰⁰⁰ = 0 of it. Its last block is
//!   that of the padded batch, here that of the document, so a document gives the same numbers in any batch: those of the reference for the document alone.
//! - The reference's switch looks at the padded batch, and stays thrown for all later, longer texts. Here it is the document's own and remembers nothing.
//!   With [`Pattern::padded`] the longest document of a batch decides on both, as in the reference: blocks behind the end of a shorter one are empty.
//! - Rows of different heads see different random blocks: keys and values of R(h, i) are gathered, r·b a row block and head, so that memory grows with n.
//! - The reference's plans for texts within the switch cannot run and are not here.

use super::{Documents, Growth, Reader, Spec};
use crate::block::{Dense, Heads, Projections};
use crate::error::{Error, Result};
use crate::kernel::attention::{Bias, Biases, Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{pool, slice, tensor};
use candle_core::Tensor;
use std::ops::Range;
use std::sync::OnceLock;

mod pattern;
mod random;
#[cfg(test)]
mod tests;

pub use pattern::{Draw, Pattern};

pub(super) const SPEC: Spec = Spec {
    name: "bigbird",
    paper: "Big Bird: Transformers for Longer Sequences, arXiv 2007.14062",
    state: Growth::None,
    causal: false,
    bidirectional: true,
    mixer: None,
    reader: None,
    tiny: &[],
};

/// Blocks of a text below which `always` makes no sense: the two at the ends and a row's own with both beside it.
const LEAST: usize = 5;

/// The attention of a layer.
pub struct BigBird {
    heads: Heads,
    projections: Projections,
    pattern: Pattern,
    switch: usize,
    layer: usize,
    /// What block 0 gets for counting several times.
    times: Option<Biases>,
}

/// A document.
#[derive(Debug, Clone)]
struct Text {
    /// Its rows in the batch.
    rows: Range<usize>,
    /// Tokens by which it is cut into blocks: its own, or those of the longest.
    whole: usize,
}

/// What rows look at: keys and values of a text, or of one head of it, and the queries of that head.
struct Stored {
    /// Of the whole text; or of its first block, of those between, and of its last.
    keys: Vec<Keys>,
    /// The random blocks of the rows between, and which of these keys are none.
    random: Option<(Keys, Vec<usize>)>,
    /// Empty where all heads are together.
    q: Vec<f32>,
}

impl BigBird {
    /// Of its projections, for layer `layer`.
    pub fn new(heads: Heads, projections: Projections, pattern: Pattern, layer: usize) -> Result<Self> {
        let switch = pattern.switch()?;
        let often = pattern.draw == Draw::Evaluation && pattern.random > 0;
        let times = often.then(|| Biases::times(heads.count, 1 + pattern.random));
        Ok(Self { heads, projections, pattern, switch, layer, times })
    }

    /// Blocks of a text of n tokens that is read by blocks.
    fn blocks(&self, n: usize) -> Option<usize> {
        (self.pattern.always || n > self.switch).then(|| n.div_ceil(self.pattern.block))
    }

    fn texts(&self, documents: &Documents) -> Vec<Text> {
        let longest = documents.lengths().iter().max().copied().filter(|_| self.pattern.padded);
        documents.ranges().map(|rows| Text { whole: longest.unwrap_or(rows.len()), rows }).collect()
    }

    /// The rows that see the same, counted from the text's first: all, or those of the first block, between, of the last.
    fn parts(&self, text: &Text) -> Vec<Range<usize>> {
        let (b, n) = (self.pattern.block, text.rows.len());
        let within = |part: Range<usize>| part.start.min(n)..part.end.min(n);
        match self.blocks(text.whole) {
            Some(m) => [0..b, b..(m - 1) * b, (m - 1) * b..n].map(within).to_vec(),
            None => vec![Range { start: 0, end: n }],
        }
    }

    /// Fails where a text is too short to be read by blocks and nothing else is allowed.
    fn check(&self, n: usize) -> Result<()> {
        let Pattern { block, random, always, .. } = self.pattern;
        let m = n.div_ceil(block);
        if !always || m >= LEAST {
            return Ok(());
        }
        let least = (LEAST - 1) * block + 1;
        Err(Error::new(format!(
            "{n} tokens are {m} blocks of {block}: too few for sparse attention with {random} random blocks, which takes {LEAST} blocks, {least} tokens"
        ))
        .hint("without `--attention sparse` short texts are read with full attention"))
    }

    /// Keys of `heads` heads, `k` and `v` (n, width), in parts.
    fn keys(&self, heads: usize, k: &[f32], v: &[f32], text: &Text) -> Vec<Keys> {
        let width = heads * self.heads.width;
        let of = |part: Range<usize>| {
            let mut keys = Keys::new(heads, self.heads.width, Precision::F32);
            keys.append(&k[part.start * width..part.end * width], &v[part.start * width..part.end * width]);
            keys
        };
        self.parts(text).into_iter().map(of).collect()
    }

    /// The work on the rows `q` (n, width) of a text, part after part.
    fn jobs<'a>(&'a self, q: &'a [f32], text: &Text, stored: &'a Stored) -> Vec<Job<'a>> {
        let (parts, width, size) = (self.parts(text), q.len() / text.rows.len(), self.pattern.block);
        let all = |keys| Span { keys, visible: Visible::All, hidden: &[], bias: None };
        let job = |(i, part): (usize, Range<usize>)| {
            let mut spans: Vec<Span> = stored.keys.iter().map(all).collect();
            if parts.len() == 3 && i == 1 {
                spans[0].bias = self.times.as_ref().map(|times| Bias::of(times, 0));
                spans[1].visible = Visible::Near { size, from: 0, to: usize::MAX };
                spans.extend(stored.random.as_ref().map(|(keys, hidden)| Span {
                    keys,
                    visible: Visible::Group { first: 0, size, each: self.pattern.random * size },
                    hidden,
                    bias: None,
                }));
            }
            Job { q: &q[part.start * width..part.end * width], spans }
        };
        parts.iter().cloned().enumerate().map(job).collect()
    }

    /// All heads together, where they see the same blocks: (Σ n, h w) of projections of that shape.
    fn together(&self, [q, k, v]: [Vec<f32>; 3], texts: &[Text]) -> Vec<f32> {
        let Heads { count, width, scale } = self.heads;
        let d = count * width;
        let here = |text: &Text| text.rows.start * d..text.rows.end * d;
        let of = |text: &Text| Stored { keys: self.keys(count, &k[here(text)], &v[here(text)], text), random: None, q: Vec::new() };
        let stored: Vec<Stored> = texts.iter().map(of).collect();
        drop((k, v));
        let jobs: Vec<Job> = texts.iter().zip(&stored).flat_map(|(text, s)| self.jobs(&q[here(text)], text, s)).collect();
        attend(&jobs, count, width, scale)
    }

    /// Head by head, where each has its own random blocks.
    fn apart(&self, [q, k, v]: [Vec<f32>; 3], texts: &[Text]) -> Result<Vec<f32>> {
        let Heads { count, width, scale } = self.heads;
        let tables: Vec<_> = texts.iter().map(|text| self.table(text.whole)).collect::<Result<_>>()?;
        let stored: Vec<OnceLock<Stored>> = (0..texts.len() * count).map(|_| OnceLock::new()).collect();
        pool::each(stored.len(), |i| {
            let (text, head) = (&texts[i / count], i % count);
            let of = |x: &[f32]| -> Vec<f32> {
                let rows = x[text.rows.start * count * width..text.rows.end * count * width].chunks_exact(count * width);
                rows.flat_map(|row| &row[head * width..(head + 1) * width]).copied().collect()
            };
            let (k, v) = (of(&k), of(&v));
            let random = tables[i / count].as_ref().map(|table| self.gather(&table[head], &k, &v, text));
            let _ = stored[i].set(Stored { keys: self.keys(1, &k, &v, text), random, q: of(&q) });
        });
        drop((q, k, v));
        let stored: Vec<Stored> = stored.into_iter().filter_map(OnceLock::into_inner).collect();
        let heads = texts.iter().flat_map(|text| std::iter::repeat_n(text, count)).zip(&stored);
        let jobs: Vec<Job> = heads.flat_map(|(text, s)| self.jobs(&s.q, text, s)).collect();
        let mixed = attend(&jobs, 1, width, scale);
        drop(jobs);
        drop(stored);
        Ok(beside(&mixed, texts, count, width))
    }

    /// The random blocks of a text of n tokens, if it is read by blocks: of a head, those of one row block after the other.
    fn table(&self, n: usize) -> Result<Option<Vec<Vec<usize>>>> {
        match (self.blocks(n), self.pattern.draw) {
            (Some(m), Draw::Paper { seed, positions }) if self.pattern.random > 0 => {
                let seed = seed.wrapping_add(self.layer as u32);
                let Pattern { block, random, .. } = self.pattern;
                random::table(seed, self.heads.count, random::Sizes { blocks: m, block, random, positions }).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The keys of the blocks that `table` names, of one head, `k` and `v` (n, width). What a short last block lacks is zero and hidden.
    fn gather(&self, table: &[usize], k: &[f32], v: &[f32], text: &Text) -> (Keys, Vec<usize>) {
        let (width, b, n) = (self.heads.width, self.pattern.block, text.rows.len());
        // row blocks that the text has
        let between = self.parts(text)[1].len().div_ceil(b);
        let table = &table[..between * self.pattern.random];
        let mut keys = Keys::new(1, width, Precision::F32);
        keys.reserve(table.len() * b);
        let (zeros, mut hidden) = (vec![0.0; b * width], Vec::new());
        for block in table {
            let here = n.min(block * b)..n.min((block + 1) * b);
            let lacking = b - here.len();
            keys.append(&k[here.start * width..here.end * width], &v[here.start * width..here.end * width]);
            keys.append(&zeros[..lacking * width], &zeros[..lacking * width]);
            hidden.extend(keys.len() - lacking..keys.len());
        }
        (keys, hidden)
    }
}

/// (n, h w) for each text, of what its heads gave one after the other, (n, w) each.
fn beside(heads: &[f32], texts: &[Text], count: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; heads.len()];
    for range in texts.iter().map(|text| &text.rows) {
        let here = range.start * count * width..range.end * count * width;
        let text = &mut out[here.clone()];
        for (head, of) in heads[here].chunks_exact(range.len() * width).enumerate() {
            for (to, from) in text.chunks_exact_mut(count * width).zip(of.chunks_exact(width)) {
                to[head * width..(head + 1) * width].copy_from_slice(from);
            }
        }
    }
    out
}

impl Reader for BigBird {
    fn bytes(&self) -> usize {
        self.projections.bytes() + self.times.as_ref().map_or(0, Biases::bytes)
    }

    /// With random blocks the queries once more, and of each random slot a key and a value for every row.
    fn work_bytes(&self, n: usize) -> usize {
        let (inner, _) = self.projections.q.shape();
        let slots = match (self.blocks(n), self.pattern.draw) {
            (Some(_), Draw::Paper { .. }) => 1 + 2 * self.pattern.random,
            _ => 0,
        };
        self.projections.work_bytes(n).saturating_add(n.saturating_mul(inner * size_of::<f32>()).saturating_mul(slots))
    }

    fn ran(&self, n: usize) -> Option<String> {
        Some(self.blocks(n).map_or_else(|| "full".to_owned(), |m| self.pattern.named(Some(m))))
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let texts = self.texts(documents);
        texts.iter().try_for_each(|text| self.check(text.whole))?;
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let projected = Dense::all([q, k, v], x); // (Σ n, h w)
            let mixed = match self.pattern.draw {
                Draw::Evaluation => self.together(projected, &texts),
                Draw::Paper { .. } => self.apart(projected, &texts)?,
            };
            Ok::<_, Error>(out.apply(&mixed))
        })??;
        tensor(mixed, xs.shape())
    }
}
