//! Fixed attention of Sparse Transformers (Child et al. 2019, <https://arxiv.org/abs/1904.10509>, section 4.3).
//!
//! With blocks of l positions, the last c of which stand for their block, position i sees
//!
//! A¹ = {j ≤ i : ⌊j/l⌋ = ⌊i/l⌋}; A² = {j ≤ i : j mod l ≥ l − c} ∪ {i}
//!
//! and `pattern` says where which: `union` (every head sees A¹ ∪ A², each key once), `alternate` (layers 0, 2, … see A¹, the others A²), `heads` (the first
//! ⌈h/2⌉ heads see A¹, the others A²).
//!
//! Remembered are the c columns of every block and the block under way; other positions go, so that the state grows by c/l of softmax attention's.
//! With l ≥ n the union is softmax attention, and with c = l.
//!
//! | here | paper |
//! |---|---|
//! | `stride` | l |
//! | `summary` | c; the paper's t is l − c |
//! | [`Sets::First`], [`Sets::Second`] | A¹, A² |
//!
//! Loads: models of this program's own (`effattn_lm`); OpenAI published kernels, no checkpoint. Here A² has the position itself: before the first column
//! there is nothing else in it. Positions count from 0, so that the columns are j mod l = l − c … l − 1, where the paper has {t, …, l}. OpenAI's kernels round
//! both sets to blocks of 32 positions and may give each head columns of its own; here they are exact and the same for all heads.

use super::sparse::{Past, Pattern, Scheme, Sets, Shape, Sparse, gather, within};
use super::{Growth, Place, Spec, options};
use crate::error::Result;
use crate::kernel::attention::{Job, Span, Visible};
use crate::kernel::keys::Keys;
use serde::Deserialize;
use serde_json::Value;

const NAME: &str = "sparse_fixed";

pub(super) const SPEC: Spec = Spec {
    name: NAME,
    paper: "Generating Long Sequences with Sparse Transformers, arXiv 1904.10509 (fixed)",
    state: Growth::Linear,
    causal: true,
    bidirectional: false,
    mixer: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    reader: None,
    tiny: &[
        r#"{"name": "sparse_fixed", "stride": 7, "summary": 2, "pattern": "union"}"#,
        r#"{"name": "sparse_fixed", "stride": 5, "summary": 1, "pattern": "alternate"}"#,
        r#"{"name": "sparse_fixed", "stride": 3, "summary": 3, "pattern": "heads"}"#,
        r#"{"name": "sparse_fixed", "stride": 100}"#,
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    stride: usize,
    #[serde(default = "one")]
    summary: usize,
    #[serde(default)]
    pattern: Pattern,
}

fn one() -> usize {
    1
}

fn load(entry: &Value, place: &Place) -> Result<Sparse<Fixed>> {
    let Options { stride, summary, pattern } = options(entry)?;
    let stride = within(NAME, "stride", stride, usize::MAX)?;
    Sparse::load(Fixed { stride, summary: within(NAME, "summary", summary, stride)? }, pattern, place)
}

/// The scheme.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    pub stride: usize,
    pub summary: usize,
}

impl Fixed {
    /// Whether position p is a column.
    fn is_column(self, p: usize) -> bool {
        p % self.stride >= self.stride - self.summary
    }

    /// Columns among the first n positions.
    fn columns(self, n: usize) -> usize {
        n / self.stride * self.summary + (n % self.stride + self.summary).saturating_sub(self.stride)
    }

    /// The first of the last positions that position n, the next one, sees.
    fn recent(self, sets: Sets, n: usize) -> usize {
        if sets == Sets::Second { n } else { n / self.stride * self.stride }
    }
}

impl Scheme for Fixed {
    type Past = Columns;

    fn past(self, sets: Sets, shape: Shape) -> Columns {
        Columns { scheme: self, sets, shape, last: 0, recent: shape.keys(), columns: shape.keys() }
    }

    fn bytes_at(self, sets: Sets, shape: Shape, positions: usize) -> usize {
        let columns = if sets == Sets::First { 0 } else { self.columns(positions) };
        shape.bytes_at(Keys::stored_at(positions, self.recent(sets, positions))) + shape.bytes_at(columns)
    }

    /// All of it, but for what is kept beyond the block under way.
    fn read_at(self, sets: Sets, shape: Shape, positions: usize) -> usize {
        self.bytes_at(sets, shape, positions)
    }
}

/// The last positions and the columns of all blocks.
#[derive(Debug)]
pub(super) struct Columns {
    scheme: Fixed,
    sets: Sets,
    shape: Shape,
    /// Positions that the last call stored.
    last: usize,
    recent: Keys,
    /// Empty where only A¹ is seen.
    columns: Keys,
}

impl Clone for Columns {
    fn clone(&self) -> Self {
        Self { recent: self.recent.clone(), columns: self.columns.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        (self.scheme, self.sets, self.shape, self.last) = (source.scheme, source.sets, source.shape, source.last);
        self.recent.clone_from(&source.recent);
        self.columns.clone_from(&source.columns);
    }
}

impl Past for Columns {
    fn order(&self, _t: usize) -> Option<Vec<usize>> {
        None
    }

    fn append(&mut self, k: &[f32], v: &[f32]) {
        let (d, before) = (self.shape.features(), self.recent.len());
        self.last = k.len() / d;
        self.recent.append(k, v);
        if self.sets != Sets::First {
            let columns: Vec<usize> = (0..self.last).filter(|i| self.scheme.is_column(before + i)).collect();
            if !columns.is_empty() {
                self.columns.append(&gather(k, Some(&columns), d), &gather(v, Some(&columns), d));
            }
        }
    }

    fn jobs<'a>(&'a self, q: &'a [f32], jobs: &mut Vec<Job<'a>>) {
        let (first, Fixed { stride: size, summary: each }) = (self.recent.len() - self.last, self.scheme);
        let columns = |own| Span { keys: &self.columns, visible: Visible::Columns { first, size, each, own }, hidden: &[], bias: None };
        let recent = |visible| Span { keys: &self.recent, visible, hidden: &[], bias: None };
        let block = Visible::Block { first, size };
        let spans = match self.sets {
            Sets::First => vec![recent(block)],
            Sets::Both => vec![columns(false), recent(block)],
            Sets::Second => vec![columns(true), recent(Visible::Window { end: first + 1, step: 1, keys: 1 })],
        };
        jobs.push(Job { q, spans });
    }

    fn forget(&mut self) {
        self.recent.forget(self.scheme.recent(self.sets, self.recent.len()));
    }

    fn bytes(&self) -> usize {
        self.recent.bytes() + self.columns.bytes()
    }

    fn reserve(&mut self, positions: usize) {
        let keep = if self.sets == Sets::Second { 0 } else { self.scheme.stride };
        self.recent.reserve(positions.min(Keys::room_for(keep)));
        if self.sets != Sets::First {
            self.columns.reserve(self.scheme.columns(positions));
        }
    }
}
