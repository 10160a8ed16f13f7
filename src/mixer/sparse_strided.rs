//! Strided attention of Sparse Transformers (Child et al. 2019, <https://arxiv.org/abs/1904.10509>, section 4.3).
//!
//! With the stride l, position i sees
//!
//! A¹ = {max(0, i − l), …, i}; A² = {j ≤ i : (i − j) mod l = 0}
//!
//! and `pattern` says where which: `union` (every head sees A¹ ∪ A², each key once), `alternate` (layers 0, 2, … see A¹, the others A²), `heads` (the first
//! ⌈h/2⌉ heads see A¹, the others A²).
//!
//! Positions of a class j mod l are remembered as a run of their own, so that A² is all of a run, and A¹ as the last l positions: a step reads
//! about n/l + l keys where softmax attention reads n. Runs are whole blocks of 32 positions: strides beyond n/32 pay in memory for classes that are
//! hardly begun. A text that is read at once is read class by class, its queries side by side. With l ≥ n it is softmax attention.
//!
//! | here | paper |
//! |---|---|
//! | `stride` | l |
//! | [`Sets::First`], [`Sets::Second`] | A¹, A² |
//!
//! Loads: models of this program's own (`effattn_lm`); OpenAI published kernels, no checkpoint. Their kernels round both sets to blocks of 32 positions;
//! here they are exact, as in their dense definition (`get_attn_mask`), but for A¹: its `local` mask has the l positions i − l + 1 … i, the
//! paper's set l + 1. In the union they are the same, for i − l is in A².

use super::sparse::{Past, Pattern, Scheme, Sets, Shape, Sparse, gather, within};
use super::{Growth, Place, Spec, options};
use crate::error::Result;
use crate::kernel::attention::{Job, Span, Visible};
use crate::kernel::keys::Keys;
use serde::Deserialize;
use serde_json::Value;

const NAME: &str = "sparse_strided";

pub(super) const SPEC: Spec = Spec {
    name: NAME,
    paper: "Generating Long Sequences with Sparse Transformers, arXiv 1904.10509 (strided)",
    state: Growth::Linear,
    causal: true,
    bidirectional: false,
    mixer: Some(|entry, place| Ok(Box::new(load(entry, place)?))),
    reader: None,
    tiny: &[
        r#"{"name": "sparse_strided", "stride": 7, "pattern": "union"}"#,
        r#"{"name": "sparse_strided", "stride": 5, "pattern": "alternate"}"#,
        r#"{"name": "sparse_strided", "stride": 3, "pattern": "heads"}"#,
        r#"{"name": "sparse_strided", "stride": 100}"#,
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    stride: usize,
    #[serde(default)]
    pattern: Pattern,
}

fn load(entry: &Value, place: &Place) -> Result<Sparse<Strided>> {
    let Options { stride, pattern } = options(entry)?;
    Sparse::load(Strided { stride: within(NAME, "stride", stride, usize::MAX)? }, pattern, place)
}

/// The scheme.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strided {
    pub stride: usize,
}

impl Strided {
    /// Positions of the window that later ones see.
    fn keep(self, sets: Sets) -> usize {
        match sets {
            Sets::First => self.stride,
            // the one a stride ago is in its class
            Sets::Both => self.stride - 1,
            Sets::Second => 0,
        }
    }

    /// Of t positions those of each class: the first one, and how many.
    fn runs(self, t: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..t.min(self.stride)).map(move |first| (first, (t - first).div_ceil(self.stride)))
    }
}

impl Scheme for Strided {
    type Past = Classes;

    fn past(self, sets: Sets, shape: Shape) -> Classes {
        Classes { scheme: self, sets, shape, seen: 0, last: 0, window: shape.keys(), classes: Vec::new() }
    }

    fn bytes_at(self, sets: Sets, shape: Shape, positions: usize) -> usize {
        let window = shape.bytes_at(Keys::stored_at(positions, positions.saturating_sub(self.keep(sets))));
        let (each, more) = (positions / self.stride, positions % self.stride);
        let classes = more * shape.bytes_at(each + 1) + (self.stride - more) * shape.bytes_at(each);
        match sets {
            Sets::First => window,
            Sets::Second => classes,
            Sets::Both => window + classes,
        }
    }

    /// The window, and one class of all.
    fn read_at(self, sets: Sets, shape: Shape, positions: usize) -> usize {
        let window = shape.bytes_at(positions.min(self.keep(sets) + 1));
        let class = shape.bytes_at(positions.div_ceil(self.stride));
        match sets {
            Sets::First => window,
            Sets::Second => class,
            Sets::Both => window + class,
        }
    }
}

/// A window and the classes of positions that are equal modulo the stride.
#[derive(Debug)]
pub(super) struct Classes {
    scheme: Strided,
    sets: Sets,
    shape: Shape,
    /// Positions stored in all, and by the last call.
    seen: usize,
    last: usize,
    /// Empty where only A² is seen.
    window: Keys,
    /// Those that are begun; none where only A¹ is seen.
    classes: Vec<Keys>,
}

impl Clone for Classes {
    fn clone(&self) -> Self {
        Self { window: self.window.clone(), classes: self.classes.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        (self.scheme, self.sets, self.shape, self.seen, self.last) = (source.scheme, source.sets, source.shape, source.seen, source.last);
        self.window.clone_from(&source.window);
        self.classes.clone_from(&source.classes);
    }
}

impl Past for Classes {
    fn order(&self, t: usize) -> Option<Vec<usize>> {
        let stride = self.scheme.stride;
        let sorted = self.sets == Sets::First || t < 2 || stride == 1 || stride >= t;
        (!sorted).then(|| self.scheme.runs(t).flat_map(|(first, n)| (0..n).map(move |i| first + i * stride)).collect())
    }

    fn append(&mut self, k: &[f32], v: &[f32]) {
        let (d, stride) = (self.shape.features(), self.scheme.stride);
        let t = k.len() / d;
        if self.sets != Sets::Second {
            self.window.append(k, v);
        }
        if self.sets != Sets::First {
            let order = self.order(t);
            let (k, v) = (gather(k, order.as_deref(), d), gather(v, order.as_deref(), d));
            let shape = self.shape;
            self.classes.resize_with(self.classes.len().max(stride.min(self.seen + t)), || shape.keys());
            let mut at = 0;
            for (first, n) in self.scheme.runs(t) {
                let rows = at * d..(at + n) * d;
                self.classes[(self.seen + first) % stride].append(&k[rows.clone()], &v[rows]);
                at += n;
            }
        }
        (self.seen, self.last) = (self.seen + t, t);
    }

    fn jobs<'a>(&'a self, q: &'a [f32], jobs: &mut Vec<Job<'a>>) {
        let (d, stride, before) = (self.shape.features(), self.scheme.stride, self.seen - self.last);
        let window = |visible| Span { keys: &self.window, visible, hidden: &[], bias: None };
        if self.sets == Sets::First {
            let spans = vec![window(Visible::Window { end: before + 1, step: 1, keys: stride + 1 })];
            return jobs.push(Job { q, spans });
        }
        let mut at = 0;
        for (first, n) in self.scheme.runs(self.last) {
            let position = before + first;
            let visible = Visible::Causal { first: position / stride };
            let mut spans = vec![Span { keys: &self.classes[position % stride], visible, hidden: &[], bias: None }];
            if self.sets == Sets::Both {
                // neither itself nor the one a stride ago: they are in the class
                spans.push(window(Visible::Window { end: position, step: stride, keys: stride - 1 }));
            }
            jobs.push(Job { q: &q[at * d..(at + n) * d], spans });
            at += n;
        }
    }

    fn forget(&mut self) {
        self.window.forget(self.seen.saturating_sub(self.scheme.keep(self.sets)));
    }

    fn bytes(&self) -> usize {
        self.window.bytes() + self.classes.iter().map(Keys::bytes).sum::<usize>()
    }

    fn reserve(&mut self, positions: usize) {
        let stride = self.scheme.stride;
        if self.sets != Sets::Second {
            self.window.reserve(positions.min(Keys::room_for(self.scheme.keep(self.sets))));
        }
        if self.sets != Sets::First {
            let shape = self.shape;
            self.classes.resize_with(self.classes.len().max(stride.min(positions)), || shape.keys());
            self.classes.iter_mut().enumerate().for_each(|(c, keys)| keys.reserve(positions.saturating_sub(c).div_ceil(stride)));
        }
    }
}
