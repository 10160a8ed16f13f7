//! How a product is cut into tasks. No cut changes a bit; it decides how many threads find work, and what stays in their caches.

use super::product::WIDTH;

/// Rows of x that a task takes at most: they stay in the second-level cache while the panels pass.
pub const BLOCK: usize = 96;
/// Multiplications below which threads cost more than they bring: a few microseconds' worth.
const SERIAL: usize = 1 << 16;
/// Rows that fill a core's registers.
const FULL: usize = 6;

/// Rows and panels of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows.
    pub rows: usize,
    /// Panels.
    pub panels: usize,
}

impl Grid {
    /// For `n` rows and `panels` panels of so many inputs, two tasks a thread where rows are few, so that a thread that was held up does not hold
    /// up the others.
    ///
    /// A single row takes panels by fours, as long as there are enough for all threads; where panels are few, rows are cut too.
    pub fn of(panels: usize, n: usize, inputs: usize, threads: usize) -> Self {
        if n * panels * WIDTH * inputs < SERIAL {
            return Self { rows: BLOCK, panels: panels.max(1) };
        }
        let parts = if n <= BLOCK { 2 * threads } else { threads };
        let group = match panels.div_ceil(parts) {
            few @ ..4 if n >= 4 => few,
            ..4 => panels.div_ceil(threads).min(4),
            many => many.next_multiple_of(4),
        };
        let columns = panels.div_ceil(group);
        let least = parts.div_ceil(columns);
        let blocks = n.div_ceil(BLOCK).max(least.min(n / FULL));
        Self { rows: n.div_ceil(blocks), panels: group }
    }

    /// The same where a task makes its rows itself, at most `most` of them: rows are cut first, as whoever cuts panels makes rows twice, unless
    /// there are so many panels that nobody should read them twice.
    pub fn of_made(panels: usize, n: usize, (inputs, most): (usize, usize), threads: usize) -> Self {
        let parts = if n * panels * WIDTH * inputs < SERIAL { 1 } else { 2 * threads };
        let most = most.clamp(FULL, BLOCK);
        // few rows of a few more panels than threads: each thread makes all of them and reads its own panels alone
        if n <= most && (threads..4 * parts).contains(&panels) && panels * WIDTH >= 2 * n {
            return Self { rows: n.max(1), panels: panels.div_ceil(threads) };
        }
        let wanted = if panels >= 4 * parts { 1 } else { parts.min(n / (FULL + 2)).max(1) };
        let blocks = n.div_ceil(most).max(wanted);
        let group = match panels.div_ceil(parts.div_ceil(blocks)) {
            few @ ..4 => few,
            many => many.next_multiple_of(4),
        };
        Self { rows: n.div_ceil(blocks).max(1), panels: group.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows and panels of a grid's tasks cover all of both, and no task is larger than it may be.
    #[test]
    fn tasks_cover_rows_and_panels_and_are_enough() {
        for threads in [1, 2, 3, 16] {
            for n in [1, 2, 3, 4, 7, 8, 16, 40, 64, 96, 97, 128, 500] {
                for panels in [1, 2, 3, 4, 6, 8, 9, 64, 250, 4096] {
                    for inputs in [1, 96, 1024, 9216] {
                        let grids = [Grid::of(panels, n, inputs, threads), Grid::of_made(panels, n, (inputs, 12), threads)];
                        assert!(grids.iter().all(|g| (1..=BLOCK).contains(&g.rows) && g.panels >= 1), "{n} {panels} {grids:?}");
                        assert!(grids[1].rows <= 12, "{n} {panels} {grids:?}");
                        if n * panels * WIDTH * inputs < SERIAL {
                            continue;
                        }
                        for g in grids {
                            let tasks = n.div_ceil(g.rows) * panels.div_ceil(g.panels);
                            // all threads find work wherever there are rows or panels enough
                            assert!(tasks >= threads.min(panels.div_ceil(4).max(n / 12)), "{threads} {n} {panels} {inputs} {g:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_of_sparse_decoding() {
        let of = |panels, n, inputs| {
            let g = Grid::of(panels, n, inputs, 2);
            (g.rows, g.panels)
        };
        // queries and keys of a local convolution, its values; two halves of a controller
        assert_eq!((of(8, 16, 576), of(4, 16, 192), of(2, 1, 9216), of(6, 1, 1024)), ((16, 2), (16, 1), (1, 1), (1, 3)));
        assert_eq!(of(1, 16, 1024).0, 8);
        // a multiplicative layer: each thread reads its own half of the panels
        assert_eq!(Grid::of_made(4, 16, (1024, 96), 2), Grid { rows: 16, panels: 2 });
        // a loss layer's panels are read once
        assert_eq!(Grid::of_made(250, 8, (9216, 12), 2).rows, 8);
    }
}
