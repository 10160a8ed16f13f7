//! What the Compressive Transformer and the Compressive Performer share (Rae et al. 2019, <https://arxiv.org/abs/1911.05507>; Ragupathi et al. 2021): a text
//! read in segments, and behind the segment two queues of rows, the recent ones as they were and the older ones compressed.
//!
//! When a segment of T rows is full it moves into the memory. What overflows there, the oldest n rows beyond l_mem of cat(mem, segment), is compressed
//! c rows at a time; the last l_cmem of cat(cmem, new rows) stay. A text that ends within a segment leaves the queues as they are.
//!
//! n need not be a multiple of c: zero rows stand before the oldest row up to the next multiple, c − n mod c of them. lucidrains' package
//! (compressive-transformer-pytorch 0.4.0) has n mod c instead, and drops the newest rows that fill no window: `"padding": "lucidrains"`.
//!
//! | here | letter |
//! |---|---|
//! | `segment` | T |
//! | `memory` | l_mem |
//! | `compressed` | l_cmem |
//! | `ratio` | c |

use crate::block::{Linear, Rotary, RotaryStyle};
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::weights::{Form, Weights};
use serde::Deserialize;
use std::sync::Arc;

#[cfg(test)]
pub(super) mod twin;

/// Lengths in rows beyond this are typing errors.
const MOST: usize = 1 << 20;

/// The lengths of segment and queues, and the ratio of compression.
#[derive(Debug, Clone, Copy)]
pub struct Queues {
    /// T, rows of a segment.
    pub segment: usize,
    /// Rows kept as they are.
    pub memory: usize,
    /// Compressed rows kept.
    pub compressed: usize,
    /// Rows that become one.
    pub ratio: usize,
    /// Which zero rows fill up what overflows.
    pub padding: Padding,
}

/// Zero rows before the oldest of n rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// As many as are missing to a multiple of c.
    #[default]
    Left,
    /// n mod c; rows behind the last full window are dropped.
    Lucidrains,
}

/// What the queues hold before the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitMem {
    /// Nothing.
    #[default]
    Empty,
    /// Zero rows, as many as they ever hold, which are seen as other rows are.
    Zeros,
}

impl InitMem {
    /// What the caller asks for, if anything, else the configuration's own.
    pub fn resolve(self, asked: Option<&str>) -> Result<Self> {
        match asked {
            None => Ok(self),
            Some("empty") => Ok(Self::Empty),
            Some("zeros") => Ok(Self::Zeros),
            Some(other) => Err(Error::new(format!("`init_mem` \"{other}\" is not known")).hint("known are empty, zeros")),
        }
    }
}

impl Queues {
    /// Fails at lengths that make no sense.
    pub fn checked(self) -> Result<Self> {
        for (key, n, least) in
            [("segment", self.segment, 1), ("memory", self.memory, 0), ("compressed", self.compressed, 0), ("ratio", self.ratio, 1)]
        {
            if n < least || n > MOST {
                return Err(Error::new(format!("config.json: `{key}` is {n}, not between {least} and {MOST}"))
                    .hint("it is a number of rows (of `ratio`, rows that become one)"));
            }
        }
        Ok(self)
    }

    /// Zero rows before n rows.
    fn zeros(&self, n: usize) -> usize {
        match self.padding {
            Padding::Left => n.next_multiple_of(self.ratio) - n,
            Padding::Lucidrains => n % self.ratio,
        }
    }

    /// Rows that n rows become.
    pub fn windows(&self, n: usize) -> usize {
        (n + self.zeros(n)) / self.ratio
    }

    /// For each of the rows that n rows become, the last of the n that it covers.
    pub fn last_covered(&self, n: usize) -> impl Iterator<Item = usize> + use<> {
        let (zeros, c) = (self.zeros(n), self.ratio);
        (1..=self.windows(n)).map(move |w| w * c - zeros - 1)
    }

    /// Rows of memory and of compressed memory after `positions` tokens, of queues that were empty.
    pub fn lengths_at(&self, positions: usize) -> (usize, usize) {
        let full = positions / self.segment;
        let read = full * self.segment;
        // the first segment that overflows does so by what is left of the memory, those after it by a whole segment
        let first = self.memory / self.segment + 1;
        let compressed =
            if full < first { 0 } else { self.windows(first * self.segment - self.memory) + (full - first) * self.windows(self.segment) };
        (read.min(self.memory), compressed.min(self.compressed))
    }

    /// How many rolls the compressed rows after `positions` tokens come from, of queues that were empty, or full of zero rows, which came at once.
    pub fn groups_at(&self, positions: usize, zeros: bool) -> usize {
        let (rolls, each) = (positions / self.segment, self.windows(self.segment));
        let first = if zeros { 0 } else { self.memory / self.segment + 1 };
        if self.compressed == 0 || rolls < first {
            return 0;
        }
        let later = if each == 0 { 0 } else { rolls - first };
        let before = zeros || self.windows(first * self.segment - self.memory) > 0;
        if later.saturating_mul(each) < self.compressed { later + usize::from(before) } else { self.compressed.div_ceil(each) }
    }

    /// Places of the zero rows of queues that are full before the text, compressed rows first: each of these stands for c places.
    pub fn places_before(&self) -> impl Iterator<Item = i64> + use<> {
        let (memory, compressed, c) = (self.memory as i64, self.compressed as i64, self.ratio as i64);
        (0..compressed).map(move |s| -memory - 1 - (compressed - 1 - s) * c).chain(-memory..0)
    }

    /// Rows of the segment so far.
    pub fn open_at(&self, positions: usize) -> usize {
        positions % self.segment
    }
}

/// How c rows become one.
#[derive(Debug, Clone)]
pub enum Compress {
    /// Their mean.
    Mean,
    /// The greatest number of each feature.
    Max,
    /// A convolution whose kernel and stride are c: out(o) = b(o) + Σ_i Σ_k W(o, i, k) x_k(i), as a product of the inputs (i, k).
    Conv(Linear),
}

impl Compress {
    /// The convolution of `weight` (d, d, c) and `bias` (d) below `w`.
    pub fn conv(w: &Weights, d: usize, c: usize) -> Result<Self> {
        let form = Form::whole((d, d * c), Layout::OutIn);
        let packed = w.packed_of("weight", &[d, d, c], &form, Some(w.get("bias", &[d])?))?;
        Ok(Self::Conv(Linear::from_packed(Arc::new(packed))))
    }

    /// (n, d), the oldest first, to ([`Queues::windows`], d).
    pub fn apply(&self, rows: &[f32], d: usize, queues: &Queues) -> Vec<f32> {
        let n = rows.len() / d;
        let (c, zeros, windows) = (queues.ratio, queues.zeros(n), queues.windows(n));
        if windows == 0 {
            return Vec::new();
        }
        // row k of window w, where it is none of the zeros
        let row = |w: usize, k: usize| (w * c + k).checked_sub(zeros).map(|at| &rows[at * d..(at + 1) * d]);
        match self {
            Self::Mean => {
                let mut out = vec![0.0; windows * d];
                for (w, to) in out.chunks_exact_mut(d).enumerate() {
                    (0..c).filter_map(|k| row(w, k)).for_each(|row| to.iter_mut().zip(row).for_each(|(to, x)| *to += x));
                    to.iter_mut().for_each(|x| *x /= c as f32);
                }
                out
            }
            Self::Max => {
                let mut out = vec![f32::NEG_INFINITY; windows * d];
                for (w, to) in out.chunks_exact_mut(d).enumerate() {
                    for k in 0..c {
                        match row(w, k) {
                            Some(row) => to.iter_mut().zip(row).for_each(|(to, x)| *to = greater(*to, *x)),
                            None => to.iter_mut().for_each(|to| *to = greater(*to, 0.0)),
                        }
                    }
                }
                out
            }
            Self::Conv(conv) => {
                let mut inputs = vec![0.0; windows * d * c];
                for (w, to) in inputs.chunks_exact_mut(d * c).enumerate() {
                    for (k, row) in (0..c).filter_map(|k| Some((k, row(w, k)?))) {
                        to[k..].iter_mut().step_by(c).zip(row).for_each(|(to, x)| *to = *x);
                    }
                }
                conv.apply(&inputs)
            }
        }
    }
}

/// Not with `max`, which would drop a NaN.
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// What turns queries and keys of `width` features by their places, if `asked` for. Fails if base and style are given and it is not, and as [`Rotary::new`].
pub fn rotary(asked: bool, (base, style): (Option<f64>, Option<RotaryStyle>), width: usize) -> Result<Option<Rotary>> {
    if !asked && (base.is_some() || style.is_some()) {
        return Err(Error::new("config.json: `mixer`: `rotary_base` and `rotary_style` without \"relative\": \"rotary\""));
    }
    asked.then(|| Rotary::new(width, base.unwrap_or(10_000.0), style.unwrap_or_default())).transpose()
}

/// The rows that are looked at most: ⌈n / c⌉ of n, ascending; of two with the same `used` the older one.
pub fn most_used(used: &[f32], c: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..used.len()).collect();
    order.sort_by(|a, b| used[*b].total_cmp(&used[*a]).then(a.cmp(b)));
    order.truncate(used.len().div_ceil(c));
    order.sort_unstable();
    order
}

/// Where the texts of a call are cut: each row of a batch reads up to its own next boundary, then all that have more read on.
///
/// `seen` are the tokens that each row has read, t those that it reads now. Each round is a list of (row, its first token of this call, tokens).
pub fn rounds(seen: &[usize], t: usize, segment: usize) -> Vec<Vec<(usize, usize, usize)>> {
    let mut done = vec![0; seen.len()];
    let mut out = Vec::new();
    loop {
        let mut round = Vec::new();
        for (r, done) in done.iter_mut().enumerate().filter(|(_, done)| **done < t) {
            let take = (segment - (seen[r] + *done) % segment).min(t - *done);
            round.push((r, *done, take));
            *done += take;
        }
        if round.is_empty() {
            return out;
        }
        out.push(round);
    }
}

#[cfg(test)]
mod tests;
