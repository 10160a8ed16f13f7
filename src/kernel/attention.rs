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
//!
//! What a score gets for the distance of its key ([`Relative`]) is worked out in the tile, as scores are, from a table with a row a distance: nothing of the size
//! of rows times keys is ever stored. A number that depends on head and distance alone is a [`Bias`] of the span.

use super::keys::{BLOCK, Keys};
use super::simd::{self, Isa};
use super::{Shared, pool};
use std::ops::Range;

mod bias;
mod exponential;
mod plan;
pub(in crate::kernel) mod product;
mod relative;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(test)]
mod twin;

pub use bias::{Bias, Biases};
pub use relative::{Distances, Relative};

/// Keys between two looks at the greatest score: their scores for a tile fit the second-level cache, their values the first.
pub(super) const CHUNK: usize = 4 * BLOCK;

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
    /// Key j stands at position origin + j, row i at position p = first + i: it sees the positions from ⌊p / segment⌋ · segment − memory to p.
    Segments {
        /// Position of row 0.
        first: usize,
        /// Position of key 0, which may lie before the text.
        origin: isize,
        /// Positions of a segment, one at least.
        segment: usize,
        /// Positions seen before the row's segment.
        memory: usize,
    },
    /// Key j for |i − j| ≤ reach.
    Band {
        /// Keys seen on each side.
        reach: usize,
    },
    /// The `keys` keys before position `end + i · step`: a window that moves on with the rows. A row at position p that sees itself has its end at p + 1.
    /// Rows of which each stands `step` positions behind the one before are one job; with step 0 all of them see the same.
    Window {
        /// Position behind the last key of row 0.
        end: usize,
        /// Positions from a row to the next.
        step: usize,
        /// Keys seen at most.
        keys: usize,
    },
    /// Keys of the row's own block of `size` positions, up to itself: row i stands at position `first + i`.
    Block {
        /// Position of row 0.
        first: usize,
        /// Positions of a block.
        size: usize,
    },
    /// Keys of the row's own block of `size` positions, all of them: row i stands at position i, blocks begin `shift` positions before the first.
    Own {
        /// Positions of a block.
        size: usize,
        /// Positions of the first block that lie before the text, fewer than a block has.
        shift: usize,
    },
    /// Keys of the row's own block of `size` positions and of both blocks beside it, but only of the blocks `from` to `to` (not included).
    Near {
        /// Positions of a block.
        size: usize,
        /// First block seen by anybody.
        from: usize,
        /// The block behind the last.
        to: usize,
    },
    /// Of keys that stand in groups of `each`: the group that belongs to the row's block of `size` positions, where row i stands at position `first` + i.
    Group {
        /// Position of row 0.
        first: usize,
        /// Positions of a block.
        size: usize,
        /// Keys of a group.
        each: usize,
    },
    /// Of keys that are the last `each` positions of every block of `size`, one block after the other: those of blocks before the row's own, and with
    /// `own` those of its own that lie before it.
    Columns {
        /// Position of row 0.
        first: usize,
        /// Positions of a block.
        size: usize,
        /// Keys of a block.
        each: usize,
        /// Whether a row sees keys of its own block.
        own: bool,
    },
}

impl Visible {
    fn range(self, row: usize, len: usize) -> Range<usize> {
        match self {
            Visible::All => 0..len,
            Visible::Causal { first } => 0..len.min(first + row + 1),
            Visible::Segments { first, origin, segment, memory } => {
                let p = first + row;
                let key = |position: isize| (position - origin).clamp(0, len as isize) as usize;
                key((p / segment * segment) as isize - memory as isize)..key(p as isize + 1)
            }
            Visible::Band { reach } => row.saturating_sub(reach)..len.min(row.saturating_add(reach).saturating_add(1)),
            Visible::Window { end, step, keys } => {
                let end = len.min(end + row * step);
                (end.saturating_sub(keys))..end
            }
            Visible::Block { first, size } => (first + row) / size * size..len.min(first + row + 1),
            Visible::Own { size, shift } => {
                let block = (row + shift) / size * size;
                block.saturating_sub(shift).min(len)..len.min(block + size - shift)
            }
            Visible::Near { size, from, to } => {
                let (block, clip) = (row / size, |block: usize| len.min(block.clamp(from, to.max(from)) * size));
                clip(block.saturating_sub(1))..clip(block + 2)
            }
            Visible::Group { first, size, each } => {
                let group = (first + row) / size * each;
                group.min(len)..len.min(group + each)
            }
            Visible::Columns { first, size, each, own } => {
                let (block, at) = ((first + row) / size, (first + row) % size);
                0..len.min(block * each + if own { (at + each).saturating_sub(size) } else { 0 })
            }
        }
    }
}

impl Visible {
    /// How far key 0 stands behind row 0.
    fn apart(self) -> isize {
        match self {
            Visible::All | Visible::Band { .. } | Visible::Own { .. } | Visible::Near { .. } => 0,
            Visible::Causal { first } | Visible::Block { first, .. } => -(first as isize),
            Visible::Segments { first, origin, .. } => origin - first as isize,
            // the row stands at the end of its window
            Visible::Window { end, .. } => 1 - end as isize,
            // keys that stand for several positions have no distance: counted from the first row
            Visible::Columns { first, .. } | Visible::Group { first, .. } => -(first as isize),
        }
    }
}

/// Some keys, and who sees them.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    /// Keys and values; those that a row sees must not have been forgotten.
    pub keys: &'a Keys,
    /// Which of them a row sees.
    pub visible: Visible,
    /// Positions that no row sees, ascending.
    pub hidden: &'a [usize],
    /// What scores get for where row and key stand.
    pub bias: Option<Bias<'a>>,
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
    attend_on(simd::isa(), jobs, &[], (heads, width), scale)
}

/// The same where scores and values depend on the distance too: job by job what `relative` says.
pub fn attend_relative(jobs: &[Job], relative: &[Relative], (heads, width): (usize, usize), scale: f32) -> Vec<f32> {
    assert_eq!(jobs.len(), relative.len());
    attend_on(simd::isa(), jobs, relative, (heads, width), scale)
}

/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 13;

/// [`attend`], or [`attend_relative`] where `relative` is not empty, on a path of this machine.
fn attend_on(isa: Isa, jobs: &[Job], relative: &[Relative], (heads, width): (usize, usize), scale: f32) -> Vec<f32> {
    assert!(isa.available());
    let d = heads * width;
    let mut tiles = Vec::new();
    let (mut first, mut work) = (0, 0);
    for (i, job) in jobs.iter().enumerate() {
        let (t, far) = (job.q.len() / d, relative.get(i));
        assert!(far.is_none_or(|far| far.q.len() == job.q.len()), "a job's rows");
        // head by head: the next tile finds the keys of the one before in the cache
        for head in 0..heads {
            tiles.extend((0..t).step_by(tile::ROWS).map(|r| (job, far, head, r..t.min(r + tile::ROWS), first + r)));
        }
        first += t;
        work += t * d * job.spans.iter().map(|s| s.keys.stored()).sum::<usize>();
    }
    let mut out = vec![0.0; first * d];
    let target = Shared(out.as_mut_ptr());
    let task = |t: usize| {
        let (job, far, head, rows, at) = &tiles[t];
        let tile = tile::Tile { spans: &job.spans, q: job.q, relative: *far, rows: rows.clone(), head: *head, width, d, scale };
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
