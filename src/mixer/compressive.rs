//! Softmax attention with a compressed memory (Rae et al. 2019, "Compressive Transformers for Long-Range Sequence Modelling",
//! <https://arxiv.org/abs/1911.05507>).
//!
//! A row x_i of a segment sees F = cat(cmem, mem, segment up to itself):
//!
//! score(i, j) = q_i · k_j / √d_k, q = x W_q, k = F W_k, v = F W_v; out_i = Σ_j softmax_j(score(i, j)) v_j
//!
//! and when the segment is full, with n the rows of cat(mem, segment) beyond l_mem, old the first n of them and f_c the compression,
//!
//! mem ← cat(mem, segment)[−l_mem:]; cmem ← cat(cmem, f_c(old))[−l_cmem:]
//!
//! | here | letter |
//! |---|---|
//! | `segment`, `memory`, `compressed`, `ratio` | T, l_mem, l_cmem, c, see [`super::segments`] |
//! | `compress` | f_c: `mean`, `max`, `conv` over c rows at a time; `most_used` keeps the ⌈n / c⌉ rows that were given most attention |
//! | δ | rows of F between key and query |
//! | `relative` | `rotary`: queries and keys are turned by their places in the text, a compressed row's is that of the last row it covers; `learned`: score plus q_i · E(T + l_mem + l_cmem − 1 − δ) / √d_k with a table E for each head, as lucidrains' once the queues are full |
//!
//! The memory holds the mixer's inputs. Keys and values of a recent row are those it had in its segment, a compressed row's are projected once, when it is made;
//! so a compressed row itself is not kept, and with `most_used` no row is. What a row was given is the sum of its probabilities over all heads and all rows that
//! saw it, from its own segment on until it overflows, row by row in order: sums, not means.
//!
//! Loads: `compressive` of `effattn_lm`; docs/formats.md has the options. lucidrains' package is the model type `compressive_transformer_lm`. The paper
//! trains the compression with losses of its own; here it only runs.

use super::segments::{Compress, InitMem, Queues, most_used, rounds};
use super::{Growth, Mixer, Spec};
use crate::block::{Dense, Heads, Projections, Rotary};
use crate::error::Result;
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::precision::Precision;
use crate::kernel::queue::{self, Table};
use crate::kernel::{slice, tensor};
use crate::memory::ByRow;
use candle_core::Tensor;
use memory::Row;

mod memory;
mod options;

pub(super) const SPEC: Spec = Spec {
    name: "compressive",
    paper: "Compressive Transformers for Long-Range Sequence Modelling, arXiv 1911.05507",
    state: Growth::Bounded,
    causal: true,
    bidirectional: false,
    mixer: Some(|entry, place| Ok(Box::new(options::load(entry, place)?))),
    reader: None,
    tiny: &[
        r#"{"name": "compressive", "segment": 5, "memory": 7, "compressed": 4, "ratio": 3, "compress": "mean"}"#,
        r#"{"name": "compressive", "segment": 8, "memory": 8, "compressed": 3, "ratio": 4, "compress": "conv", "relative": "rotary"}"#,
        r#"{"name": "compressive", "segment": 6, "memory": 3, "compressed": 5, "ratio": 2, "compress": "max", "relative": "learned", "init_mem": "zeros"}"#,
        r#"{"name": "compressive", "segment": 7, "memory": 10, "compressed": 6, "ratio": 3, "compress": "most_used", "relative": "rotary", "rotary_style": "interleaved"}"#,
        r#"{"name": "compressive", "segment": 4, "memory": 9, "compressed": 4, "ratio": 2, "compress": "most_used", "relative": "learned", "sum_of_norms": true}"#,
    ],
};

/// The attention.
pub struct Compressive {
    heads: Heads,
    d: usize,
    projections: Projections,
    queues: Queues,
    /// None: the most used rows are kept.
    compress: Option<Compress>,
    rotary: Option<Rotary>,
    table: Option<Table>,
    cache: Precision,
    init: InitMem,
}

impl Compressive {
    fn inner(&self) -> usize {
        self.heads.count * self.heads.width
    }

    fn keys(&self) -> Keys {
        Keys::new(self.heads.count, self.heads.width, self.cache)
    }

    /// Rows of memory and of compressed memory after `positions` tokens.
    fn lengths_at(&self, positions: usize) -> (usize, usize) {
        match self.init {
            InitMem::Empty => self.queues.lengths_at(positions),
            InitMem::Zeros => (self.queues.memory, self.queues.compressed),
        }
    }

    /// Keys and values of rows (n, d) that stand at these places.
    fn project(&self, rows: &[f32], places: impl Iterator<Item = i64>) -> [Vec<f32>; 2] {
        let [mut k, v] = Dense::all([&self.projections.k, &self.projections.v], rows);
        if let Some(rotary) = &self.rotary {
            rotary.apply_signed(&mut k, self.heads.count, places);
        }
        [k, v]
    }

    fn fresh(&self) -> Row {
        let mut row = Row { seen: 0, inputs: Vec::new(), queue: self.keys(), compressed: 0, segment: self.keys(), used: Vec::new() };
        if self.init == InitMem::Zeros {
            let Queues { memory, compressed, .. } = self.queues;
            let [k, v] = self.project(&vec![0.0; (memory + compressed) * self.d], self.queues.places_before());
            row.queue.append(&k, &v);
            row.compressed = compressed;
            match self.compress {
                Some(_) => row.inputs = vec![0.0; memory * self.d],
                None => row.used = vec![0.0; memory * self.heads.count],
            }
        }
        row
    }

    /// What the last tokens of the rows of a round are told, their keys and values being there: (Σ tokens, h w).
    fn attend(&self, round: &[(usize, usize, usize)], q: &[f32], t: usize, memory: &mut ByRow<Row>) -> Vec<f32> {
        let (d, Heads { count, width, scale }) = (self.inner(), self.heads);
        let q = |&(r, first, n): &(usize, usize, usize)| &q[(r * t + first) * d..(r * t + first + n) * d];
        if self.table.is_none() && self.compress.is_some() {
            let job = |turn: &(usize, usize, usize)| {
                let row = &memory.0[turn.0];
                let queue = Span { keys: &row.queue, visible: Visible::All, hidden: &[], bias: None };
                let own =
                    Span { keys: &row.segment, visible: Visible::Causal { first: row.segment.len() - turn.2 }, hidden: &[], bias: None };
                Job { q: q(turn), spans: if row.queue.is_empty() { vec![own] } else { vec![queue, own] } }
            };
            return attend(&round.iter().map(job).collect::<Vec<_>>(), count, width, scale);
        }
        let origin = self.queues.segment + self.queues.memory + self.queues.compressed - 1;
        let mut turns = round.iter().peekable();
        let mut jobs = Vec::with_capacity(round.len());
        for (r, Row { queue, segment, used, .. }) in memory.0.iter_mut().enumerate() {
            if let Some(turn) = turns.next_if(|turn| turn.0 == r) {
                jobs.push(queue::Job { q: q(turn), queue, segment, origin, tally: used });
            }
        }
        queue::attend(&mut jobs, queue::Sizes { heads: count, width, scale }, self.table.as_ref())
    }

    /// Moves the full segments into the queues.
    fn roll(&self, memory: &mut ByRow<Row>) {
        let Queues { segment, memory: most, .. } = self.queues;
        let mut full: Vec<&mut Row> = memory.0.iter_mut().filter(|r| r.segment.len() == segment).collect();
        if full.is_empty() {
            return;
        }
        let over = |row: &Row| (row.recent() + segment).saturating_sub(most);
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        if let (Some(compress), true) = (&self.compress, self.queues.compressed > 0) {
            for row in &full {
                let (n, begin) = (over(row), row.seen as i64 - (row.recent() + segment) as i64);
                rows.extend(compress.apply(&row.inputs[..n * self.d], self.d, &self.queues));
                places.extend(self.queues.last_covered(n).map(|p| begin + p as i64));
            }
        }
        let [k, v] = self.project(&rows, places.into_iter());
        let (mut k, mut v) = (&k[..], &v[..]);
        for row in &mut full {
            let n = over(row);
            let made = if self.compress.is_some() && self.queues.compressed > 0 { self.queues.windows(n) * self.inner() } else { 0 };
            let (new_k, new_v);
            ((new_k, k), (new_v, v)) = (k.split_at(made), v.split_at(made));
            self.push(row, n, [new_k, new_v]);
        }
    }

    /// The queues of a row whose first n recent rows leave for new compressed ones.
    fn push(&self, row: &mut Row, n: usize, [k, v]: [&[f32]; 2]) {
        let (old, recent, inner, heads) = (row.compressed, row.recent(), self.inner(), self.heads.count);
        let kept = match self.compress {
            Some(_) => Vec::new(),
            None => most_used(&row.used[..n * heads].chunks(heads).map(|h| h.iter().sum()).collect::<Vec<f32>>(), self.queues.ratio),
        };
        let new = kept.len() + k.len() / inner;
        let drop = (old + new).saturating_sub(self.queues.compressed);
        let skip = drop.saturating_sub(old);
        let mut queue = self.keys();
        queue.reserve(old + new - drop + recent + row.segment.len() - n);
        queue.extend(&row.queue, drop.min(old)..old);
        match self.compress {
            Some(_) => queue.append(&k[(skip * inner).min(k.len())..], &v[(skip * inner).min(v.len())..]),
            None => kept[skip.min(kept.len())..].iter().for_each(|&p| match p.checked_sub(recent) {
                None => queue.extend(&row.queue, old + p..old + p + 1),
                Some(p) => queue.extend(&row.segment, p..p + 1),
            }),
        }
        queue.extend(&row.queue, old + n.min(recent)..old + recent);
        queue.extend(&row.segment, n.saturating_sub(recent)..row.segment.len());
        row.queue = queue;
        row.compressed = old + new - drop;
        row.segment.clear();
        match self.compress {
            Some(_) => drop_front(&mut row.inputs, n * self.d),
            None => drop_front(&mut row.used, n * heads),
        }
    }
}

fn drop_front(list: &mut Vec<f32>, n: usize) {
    list.drain(..n);
}

impl Mixer for Compressive {
    type Memory = ByRow<Row>;

    fn memory(&self, rows: usize) -> Result<ByRow<Row>> {
        Ok(ByRow(if rows == 0 { Vec::new() } else { vec![self.fresh(); rows] }))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        let ((recent, compressed), open) = (self.lengths_at(positions), self.queues.open_at(positions));
        let keys = |n: usize| Keys::bytes_at(self.heads.count, self.heads.width, n, self.cache);
        let each = if self.compress.is_some() { self.d } else { self.heads.count };
        keys(recent + compressed) + keys(open) + (recent + open) * each * size_of::<f32>()
    }

    /// The convolution is not counted: a step does not read it, but for the one that fills a segment.
    fn weight_bytes(&self) -> usize {
        let rows = self.queues.segment + self.queues.memory + self.queues.compressed;
        let table = self.table.as_ref().map_or(0, |_| Table::held(self.heads.count, rows, self.heads.width) * size_of::<f32>());
        self.projections.bytes() + table
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut ByRow<Row>) -> Result<Tensor> {
        let (_, t, d) = xs.dims3()?;
        let (inner, segment) = (self.inner(), self.queues.segment);
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [mut q, mut k, v] = Dense::all([q, k, v], x); // (b t, h w)
            let seen: Vec<usize> = memory.0.iter().map(|r| r.seen).collect();
            if let Some(rotary) = &self.rotary {
                let places = || seen.iter().flat_map(|&s| (s as i64..).take(t));
                rotary.apply_signed(&mut q, self.heads.count, places());
                rotary.apply_signed(&mut k, self.heads.count, places());
            }
            let mut told = vec![0.0; q.len()];
            for round in rounds(&seen, t, segment) {
                for &(r, first, n) in &round {
                    let (row, tokens) = (&mut memory.0[r], r * t + first..r * t + first + n);
                    row.segment.append(&k[tokens.start * inner..tokens.end * inner], &v[tokens.start * inner..tokens.end * inner]);
                    row.seen += n;
                    match self.compress {
                        Some(_) => row.inputs.extend_from_slice(&x[tokens.start * d..tokens.end * d]),
                        None => row.used.resize(row.used.len() + n * self.heads.count, 0.0),
                    }
                }
                let mut parts = &self.attend(&round, &q, t, memory)[..];
                for &(r, first, n) in &round {
                    let part;
                    (part, parts) = parts.split_at(n * inner);
                    told[(r * t + first) * inner..][..n * inner].copy_from_slice(part);
                }
                self.roll(memory);
            }
            out.apply(&told)
        })?;
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests;
