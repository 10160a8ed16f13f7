//! Pegasus-X's attention: blocks that see themselves, and global rows that see and are seen by all (Phang et al. 2022,
//! <https://arxiv.org/abs/2208.04347>, sections 3.2 and 3.3), as its encoder has it (transformers:src/transformers/models/pegasus_x/modeling_pegasus_x.py).
//!
//! A document has g global rows beside its tokens. Token i sees the global rows and { j : ⌊(j + s) / B⌋ = ⌊(i + s) / B⌋ } in one softmax, with s = B/2 in every
//! second layer where blocks are staggered and 0 else; a global row sees the global rows and all tokens in one softmax. Tokens and global rows have the
//! same projections.
//!
//! | here | paper |
//! |---|---|
//! | `size`, `shift` | block size B; what staggered blocks are shifted by, B/2 |
//! | `globals` | g, number of global tokens |
//!
//! Loads: `self_attn` of Pegasus-X's encoder. Differs from the reference in nothing but memory and time: it pads no document to whole blocks, and no
//! staggered layer by another. So a block at an end that is shorter than the others stays so.

use super::{Documents, Growth, Reader, Spec};
use crate::block::{Dense, Heads, Projections};
use crate::error::{Error, Result};
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::{slice, tensor};
use candle_core::Tensor;
use std::ops::Range;

pub(super) const SPEC: Spec = Spec {
    name: "pegasus_x",
    paper: "Investigating Efficiently Extending Transformers for Long Input Summarization, arXiv 2208.04347",
    state: Growth::None,
    causal: false,
    bidirectional: true,
    mixer: None,
    reader: None,
    tiny: &[],
};

/// Attention within blocks, with global rows, for encoders: what it reads is (docs · globals + Σ n, d), the global rows of all documents first.
pub struct PegasusX {
    heads: Heads,
    projections: Projections,
    globals: usize,
    visible: Visible,
    /// How it is named, its blocks not counted.
    name: String,
}

impl PegasusX {
    /// Of its projections, with `globals` global rows a document: every token sees every token.
    pub fn new(heads: Heads, projections: Projections, globals: usize) -> Self {
        Self { heads, projections, globals, visible: Visible::All, name: SPEC.name.to_owned() }
    }

    /// The same within blocks of `size` tokens; `staggered`, they begin half a block before the text.
    ///
    /// Fails if the size is 0, or odd where blocks are staggered: there is no half of it.
    pub fn with_blocks(self, size: usize, staggered: bool) -> Result<Self> {
        if size == 0 || (staggered && !size.is_multiple_of(2)) {
            let even =
                if staggered { "blocks that are staggered by half a block have an even number of tokens" } else { "a block has a token" };
            return Err(Error::new(format!("config.json: `block_size` is {size}")).hint(even));
        }
        Ok(Self { visible: Visible::Own { size, shift: if staggered { size / 2 } else { 0 } }, ..self })
    }

    /// The same under this name, to which [`Reader::ran`] adds how many blocks there were.
    pub fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Before the output projection: q, k and v (docs · globals + Σ n, h w).
    fn mix(&self, [q, k, v]: [Vec<f32>; 3], documents: &Documents) -> Vec<f32> {
        let (d, g, docs) = (self.heads.count * self.heads.width, self.globals, documents.lengths().len());
        let features = |r: &Range<usize>| r.start * d..r.end * d;
        let globals: Vec<Range<usize>> = (0..docs).map(|i| i * g..(i + 1) * g).collect();
        let tokens: Vec<Range<usize>> = documents.ranges().map(|r| docs * g + r.start..docs * g + r.end).collect();
        let stored = |r: &Range<usize>| {
            let mut keys = Keys::new(self.heads.count, self.heads.width, Precision::F32);
            keys.append(&k[features(r)], &v[features(r)]);
            keys
        };
        let keys: Vec<[Keys; 2]> = globals.iter().zip(&tokens).map(|(g, t)| [stored(g), stored(t)]).collect();
        drop((k, v));
        let of_globals = globals.iter().zip(&keys).map(|(rows, keys)| job(&q[features(rows)], keys, Visible::All));
        let of_tokens = tokens.iter().zip(&keys).map(|(rows, keys)| job(&q[features(rows)], keys, self.visible));
        let jobs: Vec<Job> = of_globals.chain(of_tokens).collect();
        attend(&jobs, self.heads.count, self.heads.width, self.heads.scale)
    }
}

/// Rows that see all global rows, and of the tokens what `visible` says.
fn job<'a>(q: &'a [f32], [globals, tokens]: &'a [Keys; 2], visible: Visible) -> Job<'a> {
    let span = |keys, visible| Span { keys, visible, hidden: &[], bias: None };
    Job { q, spans: vec![span(globals, Visible::All), span(tokens, visible)] }
}

impl Reader for PegasusX {
    fn bytes(&self) -> usize {
        self.projections.bytes()
    }

    /// Queries, keys and values, and both of these again in blocks.
    fn work_bytes(&self, n: usize) -> usize {
        5 * n.saturating_add(self.globals) * self.heads.count * self.heads.width * size_of::<f32>()
    }

    fn ran(&self, n: usize) -> Option<String> {
        match self.visible {
            Visible::Own { size, shift } => Some(format!("{} blocks={}", self.name, n.saturating_add(shift).div_ceil(size))),
            _ => None,
        }
    }

    fn read(&self, xs: &Tensor, documents: &Documents) -> Result<Tensor> {
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| self.mix(Dense::all([q, k, v], x), documents))?;
        out.forward(&tensor(mixed, xs.shape())?)
    }
}

#[cfg(test)]
mod tests;
