//! Softmax attention of query rows over stored keys and values: scores, softmax and weighted sum in one pass over the keys.
//!
//! A task is a tile of neighbouring queries and one head. It walks over the keys in chunks of `CHUNK` positions and keeps, a row, the greatest score
//! so far, the sum of the exponentials and the weighted sum of the values; a greater score rescales what was summed before (Milakov and
//! Gimelshein 2018, <https://arxiv.org/abs/1805.02867>). So what it stores does not grow with the length, and the keys of a document pass once for all
//! the rows that look at them.
//!
//! A row's bits depend on its query and on the keys it sees, not on the rows beside it, on threads, or on how the sequence was cut into calls:
//! chunks begin at fixed positions, every sum runs in the order of the keys, and a key that a row does not see is left out of its
//! sums: a chunk of such keys leaves the row as it was, and what they hold, NaN too, does not matter.

use super::keys::{BLOCK, Keys};
use super::simd::{self, Isa};
use super::{Shared, pool};
use std::ops::Range;

mod exponential;
mod plan;
pub(in crate::kernel) mod product;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(test)]
mod twin;

/// Keys between two looks at the greatest score: their scores for a tile fit the second-level cache, their values the first.
const CHUNK: usize = 4 * BLOCK;

/// Which keys query row i sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// All.
    All,
    /// Key j for j ≤ first + i: row i stands at position `first + i`.
    Causal {
        /// Position of row 0.
        first: usize,
    },
    /// Key j for |i − j| ≤ reach.
    Band {
        /// Keys seen on each side.
        reach: usize,
    },
}

impl Visible {
    fn range(self, row: usize, len: usize) -> Range<usize> {
        match self {
            Visible::All => 0..len,
            Visible::Causal { first } => 0..len.min(first + row + 1),
            Visible::Band { reach } => row.saturating_sub(reach)..len.min(row + reach + 1),
        }
    }
}

/// Some keys, and who sees them.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// Keys and values.
    pub keys: &'a Keys,
    /// Which of them a row sees.
    pub visible: Visible,
    /// Positions that no row sees, ascending.
    pub hidden: &'a [usize],
}

/// The queries of one sequence and what they look at; one softmax runs over all spans together.
pub struct Job<'a> {
    /// (t, heads · width).
    pub q: &'a [f32],
    /// At least one visible key for every row.
    pub spans: Vec<Span<'a>>,
}

/// out(i) = Σ_j softmax_j(scale · q(i) · k(j)) v(j) for every job and head; (Σ t, heads · width), jobs one after the other.
pub fn attend(jobs: &[Job], heads: usize, width: usize, scale: f32) -> Vec<f32> {
    attend_on(simd::isa(), jobs, (heads, width), scale)
}

/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 13;

/// [`attend`] on a path of this machine.
fn attend_on(isa: Isa, jobs: &[Job], (heads, width): (usize, usize), scale: f32) -> Vec<f32> {
    assert!(isa.available());
    let d = heads * width;
    let mut tiles = Vec::new();
    let (mut first, mut work) = (0, 0);
    for job in jobs {
        let t = job.q.len() / d;
        // head by head: the next tile finds the keys of the one before in the cache
        for head in 0..heads {
            tiles.extend((0..t).step_by(tile::ROWS).map(|r| (job, head, r..t.min(r + tile::ROWS), first + r)));
        }
        first += t;
        work += t * d * job.spans.iter().map(|s| s.keys.len()).sum::<usize>();
    }
    let mut out = vec![0.0; first * d];
    let target = Shared(out.as_mut_ptr());
    let task = |t: usize| {
        let (job, head, rows, at) = &tiles[t];
        let tile = tile::Tile { spans: &job.spans, q: job.q, rows: rows.clone(), head: *head, width, d, scale };
        // SAFETY: the path is available; each task writes the rows of its tile, the columns of its head
        unsafe { tile.run(isa, target.add(at * d + head * width).0) }
    };
    if work < SERIAL {
        (0..tiles.len()).for_each(task)
    } else {
        pool::each(tiles.len(), task)
    }
    out
}
