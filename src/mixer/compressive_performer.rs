//! The Compressive Performer (Ragupathi, Shanmuganathan, Madhavan 2021, "Compressive Performers in Language Modelling"): FAVOR in the place of softmax over the
//! queues of a Compressive Transformer.
//!
//! Its Algorithm 1, line by line, and where each is done:
//!
//! | line | there | here |
//! |---|---|---|
//! | 1, 2 | mem ← 0; cmem ← 0 | [`InitMem`]: empty by default |
//! | 3 | for each time step t | a segment of T tokens, see [`super::segments`] |
//! | 4 | h(1) ← x W_emb | the embeddings of `effattn_lm` |
//! | 5 | for each layer i | the layers of `effattn_lm` |
//! | 6 | fifo ← concat(cmem, mem, h) | `Row::compressed`, `Row::recent`, its last rows being the segment |
//! | 7 | q, k, v ← projection(fifo) | q of h alone (A1); k, v of memory rows once a segment |
//! | 8 | a_favor ← FastAttention(q, k, v) | S_t = S_{t−1} + φ(k_t) v_tᵀ, z_t = z_{t−1} + φ(k_t), out_t = φ(q_t) S_t / (φ(q_t) · z_t), begun with the sums over the queues |
//! | 9 | a ← a_favor + h | the layer's residual |
//! | 10 | old_mem ← mem[:n_oldest] | what overflows l_mem (A3) |
//! | 11 | new_cmem ← f_c(old_mem) | [`Compress`] |
//! | 12 | mem ← concat(mem, h)[−l_mem:] | `Mixer::forward`, `roll` |
//! | 13 | cmem ← concat(cmem, new_cmem)[−l_cmem:] | `roll` |
//! | 14 | h(i+1) ← pre_norm(linear(a)) + pre_norm(a) | `"block": "sum_of_norms"` of `effattn_lm` |
//!
//! The paper leaves much open. What was chosen, and the other readings there are:
//!
//! | | open in the paper | here | option |
//! |---|---|---|---|
//! | A1 | q has as many rows as the queue, and is added to h | q of h only | |
//! | A2 | who sees whom | memories fully visible, causal inside the segment; else a language model would read what it predicts | |
//! | A3 | n_oldest | the rows of cat(mem, h) beyond l_mem; nothing is compressed before | |
//! | A3b | n_oldest not a multiple of c | c − n mod c zero rows on the left | `padding`: `left`; `lucidrains` has n mod c and drops the newest rows |
//! | A3c | "attention weights are stored", Algorithm 1 stores h | the mixer's input: h with `sum_of_norms`, norm(h) with `pre_norm` | `block` of `effattn_lm`; `store`: `input` |
//! | A4 | pre_norm(linear(a)) + pre_norm(a) | two norms with parameters of their own, one linear layer, no non-linearity | `block`: `sum_of_norms`; `pre_norm` is the usual layer |
//! | A5 | "relative positional encoding" at the embeddings | rotary places, which FAVOR can use, absolute in the text; a compressed row has that of the last row it covers | `relative`: `rotary`; null, with `positions` of `effattn_lm` |
//! | A6 | heads, output projection | both | `n_heads` 1 and an identity in `out_proj` are to the letter |
//! | A7 | output layer | untied, no norm at the end with `sum_of_norms` | `tie_word_embeddings`, `final_norm` |
//! | A8 | eq. 3, dim' = (dim − f)/(s + 1) | ⌊(dim − f)/s⌋ + 1 with f = s = c, as every convolution has it: the formula is misprinted | |
//! | A9 | the autoencoder | its encoder is the convolution; a decoder in the checkpoint is for training and not read | `compress`: `conv`, `autoencoder`, `mean`, `max` |
//! | A10 | mem "empty" in the text, 0 in Algorithm 1 | empty | `init_mem`: `empty`; `zeros` are seen: φ(0) enters z and dilutes |
//! | A13 | eq. 2 has no normaliser | normalised | |
//! | A14 | what keeps φ finite | a running maximum over cat(cmem, mem, segment), begun anew with each segment; no ε in the softmax kernel | `kernel`: `softmax`, `relu`; `kernel_epsilon` |
//!
//! | here | paper |
//! |---|---|
//! | `segment`, `memory`, `compressed`, `ratio` | sequence length 768, l_mem 768, l_cmem 1152, c 4 |
//! | `features` | m, rows of the random matrix `projection` (m, d_k) |
//!
//! The state of a layer: the rows of both queues and of the segment, S and z; and S and z of the compressed rows of each roll. When a segment is full, S and z
//! are begun with those of the rolls that are still there, and the rows of the memory are summed anew, as are those of a roll that left in part: nothing is
//! ever taken away from a sum, which would drift. So a roll costs l_mem + T / c rows, (l_mem + T / c) / T a token, however long the queues are; some rows at a time, so
//! that nothing as long as the queues is held beside them. With ε > 0 in the softmax kernel the maximum runs along the whole queue, and all of it is summed anew.
//!
//! Loads: `compressive_performer` of `effattn_lm`; the authors published no checkpoint.

use super::segments::{Compress, InitMem, Queues, rounds};
use super::{Growth, Mixer, Spec};
use crate::block::{Dense, Projections, Rotary};
use crate::error::Result;
use crate::kernel::features::{Features, Kernel};
use crate::kernel::linear_attention::Turn;
use crate::kernel::{slice, tensor};
use crate::memory::ByRow;
use candle_core::Tensor;
use fifo::{Group, Row};

mod fifo;
mod options;

pub(super) const SPEC: Spec = Spec {
    name: "compressive_performer",
    paper: "Compressive Performers in Language Modelling",
    state: Growth::Bounded,
    causal: true,
    bidirectional: false,
    mixer: Some(|entry, place| Ok(Box::new(options::load(entry, place)?))),
    reader: None,
    tiny: &[
        r#"{"name": "compressive_performer", "segment": 5, "memory": 7, "compressed": 4, "ratio": 3, "features": 12, "sum_of_norms": true}"#,
        r#"{"name": "compressive_performer", "segment": 6, "memory": 3, "compressed": 5, "ratio": 2, "features": 10, "compress": "mean", "init_mem": "zeros"}"#,
        r#"{"name": "compressive_performer", "segment": 8, "memory": 10, "compressed": 6, "ratio": 3, "features": 12, "compress": "autoencoder", "kernel": "relu", "relative": null, "padding": "lucidrains"}"#,
        r#"{"name": "compressive_performer", "segment": 4, "memory": 9, "compressed": 4, "ratio": 4, "features": 7, "compress": "max", "rotary_style": "interleaved", "kernel_epsilon": 0.01, "sum_of_norms": true}"#,
    ],
};

/// The attention.
pub struct CompressivePerformer {
    d: usize,
    projections: Projections,
    features: Features,
    queues: Queues,
    compress: Compress,
    rotary: Option<Rotary>,
    init: InitMem,
}

/// Rows of the queues that are projected and summed together.
const TOGETHER: usize = 128;

impl CompressivePerformer {
    fn inner(&self) -> usize {
        self.features.heads * self.features.width
    }

    fn turn(&self, x: &mut [f32], places: impl Iterator<Item = i64>) {
        if let Some(rotary) = &self.rotary {
            rotary.apply_signed(x, self.features.heads, places);
        }
    }

    fn empty_sums(&self) -> Vec<f32> {
        self.features.sums(1).0.swap_remove(0)
    }

    fn fresh(&self) -> Row {
        let (compressed, recent) = (Vec::new(), Vec::new());
        let mut row = Row { seen: 0, compressed, places: Vec::new(), recent, groups: Vec::new(), sums: self.empty_sums() };
        if self.init == InitMem::Zeros {
            row.compressed = vec![0.0; self.queues.compressed * self.d];
            row.places = self.queues.places_before().take(self.queues.compressed).collect();
            row.recent = vec![0.0; self.queues.memory * self.d];
            self.grow(&mut row, self.queues.compressed);
            self.sum(&mut row);
        }
        row
    }

    /// Whether sums of compressed rows are kept by rolls.
    fn grouped(&self) -> bool {
        self.features.kernel == Kernel::Relu || self.features.epsilon == 0.0
    }

    /// Notes that so many rows are the youngest of cmem.
    fn grow(&self, row: &mut Row, rows: usize) {
        if self.grouped() && rows > 0 {
            row.groups.push(Group { rows, sums: Vec::new() });
        }
    }

    /// Adds the keys of some rows.
    fn absorb(&self, sums: &mut [f32], rows: &[f32], mut places: impl Iterator<Item = i64>) {
        for part in rows.chunks(TOGETHER * self.d) {
            let [mut k, v] = Dense::all([&self.projections.k, &self.projections.v], part);
            self.turn(&mut k, places.by_ref().take(part.len() / self.d));
            self.features.attend(&mut [Turn { q: &[], k: &k, v: &v, sums }]);
        }
    }

    /// Sums the keys of both queues, which begin a segment.
    fn sum(&self, row: &mut Row) {
        row.sums = self.empty_sums();
        let recent = row.seen as i64 - (row.recent.len() / self.d) as i64..row.seen as i64;
        if !self.grouped() {
            self.absorb(&mut row.sums, &row.compressed, row.places.iter().copied());
        }
        let mut first = 0;
        for group in &mut row.groups {
            let here = first..first + group.rows;
            first = here.end;
            if group.sums.is_empty() {
                group.sums = self.empty_sums();
                let rows = &row.compressed[here.start * self.d..here.end * self.d];
                self.absorb(&mut group.sums, rows, row.places[here].iter().copied());
            }
            self.features.merge(&mut row.sums, &group.sums);
        }
        self.absorb(&mut row.sums, &row.recent, recent);
    }

    /// Moves a full segment into the queues.
    fn roll(&self, row: &mut Row) {
        let d = self.d;
        let rows = row.recent.len() / d;
        let n = rows.saturating_sub(self.queues.memory);
        if self.queues.compressed > 0 {
            row.compressed.extend(self.compress.apply(&row.recent[..n * d], d, &self.queues));
            let begin = row.seen as i64 - rows as i64;
            row.places.extend(self.queues.last_covered(n).map(|p| begin + p as i64));
            self.grow(row, self.queues.windows(n));
            let drop = row.places.len().saturating_sub(self.queues.compressed);
            row.shrink(drop);
            row.compressed.drain(..drop * d);
            row.places.drain(..drop);
        }
        row.recent.drain(..n * d);
        self.sum(row);
    }
}

impl Mixer for CompressivePerformer {
    type Memory = ByRow<Row>;

    fn memory(&self, rows: usize) -> Result<ByRow<Row>> {
        Ok(ByRow(if rows == 0 { Vec::new() } else { vec![self.fresh(); rows] }))
    }

    fn bytes_at(&self, positions: usize) -> usize {
        let (recent, compressed) = match self.init {
            InitMem::Empty => self.queues.lengths_at(positions),
            InitMem::Zeros => (self.queues.memory, self.queues.compressed),
        };
        let rows = recent + self.queues.open_at(positions) + compressed;
        let groups = if self.grouped() { self.queues.groups_at(positions, self.init == InitMem::Zeros) } else { 0 };
        rows * self.d * size_of::<f32>() + compressed * size_of::<i64>() + (1 + groups) * self.features.sum_bytes()
    }

    /// The sums: rows and the sums of rolls are read when a segment is full.
    fn read_at(&self, _positions: usize) -> usize {
        self.features.sum_bytes()
    }

    /// The convolution is not counted: a step does not read it, but for the one that fills a segment.
    fn weight_bytes(&self) -> usize {
        self.projections.bytes() + self.features.bytes()
    }

    fn work_bytes(&self, t: usize) -> usize {
        self.projections.work_bytes(t) + self.features.work_bytes(t)
    }

    fn forward(&self, xs: &Tensor, memory: &mut ByRow<Row>) -> Result<Tensor> {
        let (_, t, d) = xs.dims3()?;
        let inner = self.inner();
        let Projections { q, k, v, out } = &self.projections;
        let mixed = slice(xs, |x| {
            let [mut q, mut k, v] = Dense::all([q, k, v], x); // (b t, h w)
            let seen: Vec<usize> = memory.0.iter().map(|r| r.seen).collect();
            let places = || seen.iter().flat_map(|&s| (s as i64..).take(t));
            self.turn(&mut q, places());
            self.turn(&mut k, places());
            let mut told = vec![0.0; q.len()];
            for round in rounds(&seen, t, self.queues.segment) {
                let mut parts = round.iter().peekable();
                let mut turns = Vec::with_capacity(round.len());
                for (r, row) in memory.0.iter_mut().enumerate() {
                    let Some(&(_, first, n)) = parts.next_if(|part| part.0 == r) else { continue };
                    let tokens = r * t + first..r * t + first + n;
                    row.recent.extend_from_slice(&x[tokens.start * d..tokens.end * d]);
                    row.seen += n;
                    let here = tokens.start * inner..tokens.end * inner;
                    turns.push(Turn { q: &q[here.clone()], k: &k[here.clone()], v: &v[here], sums: &mut row.sums });
                }
                let attended = self.features.attend(&mut turns);
                let mut rest = &attended[..];
                for &(r, first, n) in &round {
                    let part;
                    (part, rest) = rest.split_at(n * inner);
                    told[(r * t + first) * inner..][..n * inner].copy_from_slice(part);
                }
                for &(r, ..) in &round {
                    let row = &mut memory.0[r];
                    if row.seen.is_multiple_of(self.queues.segment) {
                        self.roll(row);
                    }
                }
            }
            out.apply(&told)
        })?;
        tensor(mixed, xs.shape())
    }
}

#[cfg(test)]
mod tests;
