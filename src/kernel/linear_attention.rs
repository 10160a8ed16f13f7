//! Attention by sums over features: what is remembered of the keys and values does not grow with their number.
//!
//! In each head, with the features φ of [`super::features`]:
//!
//! S_t = S_{t−1} + φ(k_t) v_tᵀ; z_t = z_{t−1} + φ(k_t); out_t = φ(q_t)ᵀ S_t / (φ(q_t) · z_t)
//!
//! A sum comes before the read, so a token sees itself. Of the softmax kernel's keys a running maximum M is taken away: a key whose own, M_t, is greater
//! first multiplies S and z by e^(M − M_t). All keys so far then have the same factor, and the output is that of features without any maximum. M is
//! that of W k̂ − D(k) over keys and features; with ε > 0 that of W k̂, and the sums are multiplied with their ε.
//!
//! A row's bits depend on its own tokens alone, not on rows beside it, threads, or how the tokens were cut into calls: keys are taken one after the other, and
//! every sum over features runs in one order.

use super::elementwise::on;
use super::features::{Features, Kernel};
use super::simd::{Isa, isa};
use super::{Shared, pool};
use crate::memory::{ByRow, Lists};
use loops::{Part, Raise, Rows};
use std::borrow::Cow;
use std::ops::Range;

mod loops;
mod naive;
#[cfg(test)]
mod tests;

pub use naive::{Plain, naive};

/// For each row of a batch one list: for each head S, m lines of as many numbers as a head has, filled up to a multiple of 16, z, m numbers, and M.
pub type Sums = Lists;

/// One row's tokens, and its sums.
///
/// With queries and keys, as many of both, each key is summed before its query reads. Without queries the keys are only summed, without keys the queries
/// only read.
pub struct Turn<'a> {
    /// (t, heads · width), or nothing.
    pub q: &'a [f32],
    /// (t, heads · width), or nothing.
    pub k: &'a [f32],
    /// As many as `k`.
    pub v: &'a [f32],
    /// The row's list of [`Sums`].
    pub sums: &'a mut [f32],
}

/// Numbers of projected queries and keys that are held at a time: half a megabyte.
const HELD: usize = 1 << 17;
/// Tokens that are projected together at most.
const TOKENS: usize = 128;
/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 14;

/// Numbers that a line of S takes.
fn padded(width: usize) -> usize {
    width.next_multiple_of(16)
}

impl Features {
    /// Empty sums of so many rows.
    pub fn sums(&self, rows: usize) -> Sums {
        let mut one = vec![0.0; self.heads * self.head()];
        if self.kernel != Kernel::Relu {
            one.chunks_exact_mut(self.head()).for_each(|head| head[self.head() - 1] = f32::NEG_INFINITY);
        }
        ByRow(vec![one; rows])
    }

    /// Numbers of a head's sums.
    fn head(&self) -> usize {
        self.count() * (padded(self.width) + 1) + 1
    }

    /// Bytes of one row's sums.
    pub fn sum_bytes(&self) -> usize {
        self.heads * self.head() * size_of::<f32>()
    }

    /// Bytes that [`Features::attend`] holds at its peak for t tokens, its output not counted.
    pub fn work_bytes(&self, t: usize) -> usize {
        let one = 2 * self.heads * self.count();
        t.min((HELD / one.max(1)).clamp(1, TOKENS)) * one * size_of::<f32>()
    }

    /// What the queries of the turns read, (t, heads · width) of each, one after the other. The sums have taken in the keys afterwards.
    pub fn attend(&self, turns: &mut [Turn]) -> Vec<f32> {
        self.attend_on(isa(), turns)
    }

    /// The same on a path.
    fn attend_on(&self, isa: Isa, turns: &mut [Turn]) -> Vec<f32> {
        let d = self.heads * self.width;
        let ends: Vec<usize> = turns
            .iter()
            .scan(0, |at, turn| {
                *at += turn.q.len();
                Some(*at)
            })
            .collect();
        let mut out: Vec<f32> = vec![0.0; ends.last().copied().unwrap_or(0)];
        let target = Shared(out.as_mut_ptr());
        self.blocks(turns, true, |turn, tokens, h, place| {
            let begin = ends[turn.0] - turn.1.q.len() + tokens.start * d + h * self.width;
            let part = Part {
                features: self,
                tokens: tokens.len(),
                k: place.k,
                q: place.q,
                v: turn.1.v.get(tokens.start * d + h * self.width..).map_or(std::ptr::null(), <[f32]>::as_ptr),
                sums: place.sums,
                // SAFETY: where the turn has queries, the place of the first of these tokens in this head; nobody writes elsewhere
                out: if place.q.is_some() { unsafe { target.add(begin).0 } } else { std::ptr::null_mut() },
            };
            on(isa, part);
        });
        out
    }

    /// Adds the sums of other keys: (S, z) ← e^(M − M') (S, z) + e^(N − M') (S', z') where N is the others' maximum and M' the greater of both.
    ///
    /// With ε > 0 in the softmax kernel these are not the sums of one key after the other, whose ε would have the greater maximum too.
    pub fn merge(&self, sums: &mut [f32], others: &[f32]) {
        for (own, other) in sums.chunks_exact_mut(self.head()).zip(others.chunks_exact(self.head())) {
            let last = self.head() - 1;
            let (factor, theirs) = if self.kernel == Kernel::Relu {
                (1.0, 1.0)
            } else {
                let top = if other[last] > own[last] { other[last] } else { own[last] };
                // nothing was summed where the maximum is −∞, and then there is nothing to multiply
                let factor = |most: f32| if most == f32::NEG_INFINITY { 0.0 } else { f64::from(most - top).exp() as f32 };
                let both = (factor(own[last]), factor(other[last]));
                own[last] = top;
                both
            };
            own[..last].iter_mut().zip(other).for_each(|(own, other)| *own = *own * factor + other * theirs);
        }
    }

    /// Takes the keys of the turns into their running maxima, not into their sums.
    ///
    /// Whoever then sums the same keys takes away one maximum of all of them, which changes the output only by ε.
    pub fn raise(&self, turns: &mut [Turn]) {
        if self.kernel == Kernel::Relu {
            return;
        }
        self.blocks(turns, false, |_, tokens, _, place| {
            if let Some(k) = place.k {
                on(isa(), Raise { features: self, tokens: tokens.len(), k, sums: place.sums });
            }
        });
    }

    /// Projects the keys of the turns, and their queries if asked for, some tokens at a time, and hands each head of each turn to `f`.
    fn blocks(&self, turns: &mut [Turn], queries: bool, f: impl Fn((usize, &Turn), Range<usize>, usize, Place) + Sync) {
        let (heads, m, d) = (self.heads, self.count(), self.heads * self.width);
        assert!(turns.iter().all(|t| t.k.len() == t.v.len() && (t.q.len() == t.k.len() || t.q.is_empty() || t.k.is_empty())));
        assert!(turns.iter().all(|t| t.sums.len() == heads * self.head()), "sums of these features");
        let longest = turns.iter().map(|t| t.q.len().max(t.k.len()) / d).max().unwrap_or(0);
        let block = (HELD / (2 * heads * m * turns.len()).max(1)).clamp(1, TOKENS);
        for first in (0..longest).step_by(block) {
            let of = |x: &[f32]| first * d..x.len().min((first + block) * d);
            let mut rows: Vec<&[f32]> = Vec::with_capacity(2 * turns.len());
            for turn in turns.iter() {
                rows.extend([
                    turn.k.get(of(turn.k)).unwrap_or_default(),
                    if queries { turn.q.get(of(turn.q)).unwrap_or_default() } else { &[] },
                ]);
            }
            let mut all = self.project(Cow::Owned(rows.concat()));
            let counts: Vec<[usize; 2]> = rows.chunks_exact(2).map(|r| [r[0].len() / d, r[1].len() / d]).collect();
            let starts: Vec<usize> = counts
                .iter()
                .scan(0, |at, n| {
                    *at += (n[0] + n[1]) * heads * m;
                    Some(*at - (n[0] + n[1]) * heads * m)
                })
                .collect();
            let work = all.len() * (self.width + 16);
            let (all, sums) = (Shared(all.as_mut_ptr()), turns.iter_mut().map(|t| Shared(t.sums.as_mut_ptr())).collect::<Vec<_>>());
            let turns = &*turns;
            let task = |task: usize| {
                let (i, h) = (task / heads, task % heads);
                let [keys, reads] = counts[i];
                // SAFETY: the rows of this head of this turn and its sums, which no other task touches
                let (k, q, sums) = unsafe {
                    (all.add(starts[i] + h * m).0, all.add(starts[i] + (keys * heads + h) * m).0, sums[i].add(h * self.head()).0)
                };
                let raw = |x: &[f32]| x.get(first * d + h * self.width..).map_or(std::ptr::null(), <[f32]>::as_ptr);
                let (k, q) = (Rows { projected: k, raw: raw(turns[i].k) }, Rows { projected: q, raw: raw(turns[i].q) });
                let place = Place { k: (keys > 0).then_some(k), q: (reads > 0).then_some(q), sums };
                if keys.max(reads) > 0 {
                    f((i, &turns[i]), first..first + keys.max(reads), h, place);
                }
            };
            if work < SERIAL { (0..turns.len() * heads).for_each(task) } else { pool::each(turns.len() * heads, task) }
        }
    }
}

/// Where one head's keys, queries and sums lie.
struct Place {
    k: Option<Rows>,
    q: Option<Rows>,
    sums: *mut f32,
}
