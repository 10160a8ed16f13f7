//! A row of the edit table as 64-bit words: all its cells at once (Myers, 1999; Hyyrö, 2003). The beam is a window that slides along
//! the reference.
//!
//! Neighbours in a row differ by −1, 0 or 1. That holds inside the beam too, and it stays exact at its edges if cells behind the end
//! are taken to grow by 1 and nothing matches there: a path through them is never cheaper than one inside.

use std::ops::Range;

/// A row with at most this many cells fits.
pub(super) const MOST_CELLS: usize = 62;

/// Costs of one row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steps {
    /// cost of the first cell
    first: u32,
    /// bit k: cell k costs one more than cell k − 1; bits behind the row are set
    up: u64,
    /// bit k: cell k costs one less than cell k − 1
    down: u64,
}

impl Steps {
    /// The row with these costs; of a longer one its first 64.
    pub fn of(costs: &[u32]) -> Self {
        let mut steps = Self { first: costs.first().copied().unwrap_or(0), up: u64::MAX, down: 0 };
        for (k, pair) in (1..64).zip(costs.windows(2)) {
            steps.up &= !(u64::from(pair[1] <= pair[0]) << k);
            steps.down |= u64::from(pair[1] < pair[0]) << k;
        }
        steps
    }

    /// The row after this one. `before` and `here` are their columns, `equal` the columns from `here.start` on whose word is the row's.
    #[inline]
    pub fn advance(&mut self, before: &Range<usize>, here: &Range<usize>, equal: u64) {
        let slide = here.start - before.start;
        let equal = equal & ((2 << (before.end - here.start)) - 1);
        if slide == 0 {
            // the first cell has nothing at its left: only the cell above leads there
            self.up &= !1;
            self.down |= 1;
        } else {
            let passed = (2 << slide) - 2;
            self.first += (self.up & passed).count_ones();
            self.first -= (self.down & passed).count_ones();
            self.up = self.up >> slide | !(u64::MAX >> slide);
            self.down >>= slide;
        }
        // a step along the diagonal costs nothing; then the steps from the row above, up and down
        let diagonal = (((equal & self.up).wrapping_add(self.up)) ^ self.up) | equal | self.down;
        let above_up = self.down | !(diagonal | self.up);
        let above_down = diagonal & self.up;
        self.first = self.first + (above_up & 1) as u32 - (above_down & 1) as u32;
        let above_up = above_up << 1 | 1;
        let behind = u64::MAX << here.len();
        self.up = above_down << 1 | !(diagonal | above_up) | behind;
        self.down = diagonal & above_up & !behind;
    }

    /// The least sum of a cell of this row and of the other.
    pub fn least_sum(&self, other: &[u32]) -> u32 {
        let (mut cost, mut up, mut down) = (self.first, self.up, self.down);
        let mut least = u32::MAX;
        for other in other {
            least = least.min(cost + other);
            (up, down) = (up >> 1, down >> 1);
            cost = cost + (up & 1) as u32 - (down & 1) as u32;
        }
        least
    }
}

/// Where each word of the reference stands, as bits.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// 64-bit words for one word
    blocks: usize,
    bits: Vec<u64>,
}

impl Places {
    /// Notes where each word stands; all are below `kinds`. The first column has none.
    pub fn fill(&mut self, columns: &[u32], kinds: usize) {
        self.blocks = columns.len() / 64 + 2;
        self.bits.clear();
        self.bits.resize(kinds * self.blocks, 0);
        for (column, &word) in columns.iter().enumerate().skip(1) {
            self.bits[word as usize * self.blocks + column / 64] |= 1 << (column % 64);
        }
    }

    /// Bit k: `word` stands in column `start` + k.
    #[inline]
    pub fn window(&self, start: usize, word: u32) -> u64 {
        let at = word as usize * self.blocks + start / 64;
        let by = start % 64;
        self.bits[at] >> by | (self.bits[at + 1] << 1) << (63 - by)
    }
}
