//! Products along the length of a text: y = E x + b for x (n, w), where E (k, N) has a column for each position.
//!
//! The packed kernels multiply rows of x by weights over the features of a row; here the sum runs over rows. So a block of positions is turned,
//! (t, w) -> (w, t), multiplied by the same columns of E, and the products (w, k) of the blocks are added up in the order of the text. A text shorter than N
//! takes the first blocks alone, so the work is n k w whatever N is; its last block is filled up with zeros.
//!
//! Bits depend on the text alone: blocks begin at fixed positions, and every sum runs in one order.

use super::linear::Packed;
use super::{Shared, pool};
use std::ops::Range;

/// Positions of a block: turned, those of 768 features fit the second-level cache.
pub const BLOCK: usize = 256;
/// Features that a task turns: a line of each row.
const TILE: usize = 16;
/// Numbers below which threads cost more than they bring.
const SERIAL: usize = 1 << 14;

/// E (k, N) in blocks of columns, and b (k).
#[derive(Debug)]
pub struct Lengthwise {
    blocks: Vec<Packed>,
    rows: usize,
    columns: usize,
    bias: Option<Vec<f32>>,
}

impl Lengthwise {
    /// Of k rows and N columns; `pack` makes the matrix (k, columns) of neighbouring columns.
    pub fn new((rows, columns): (usize, usize), bias: Option<Vec<f32>>, pack: impl FnMut(Range<usize>) -> Packed) -> Self {
        let blocks = (0..columns).step_by(BLOCK).map(|at| at..columns.min(at + BLOCK)).map(pack).collect();
        Self { blocks, rows, columns, bias }
    }

    /// k and N.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Bytes of weights and bias.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Packed::bytes).sum::<usize>() + self.bias.as_ref().map_or(0, |b| size_of_val(&b[..]))
    }

    /// (n, `width`) -> (k, `width`), n ≤ N: the text takes the leading columns.
    pub fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        let n = x.len() / width;
        assert!(n <= self.columns, "{n} positions for {} columns", self.columns);
        let mut sums = vec![0.0; width * self.rows]; // (w, k)
        for (block, x) in self.blocks.iter().zip(x.chunks(BLOCK * width)) {
            let part = block.apply(&turned(x, width, block.inputs));
            sums.iter_mut().zip(part).for_each(|(sum, y)| *sum += y);
        }
        let mut out = turned(&sums, self.rows, width); // (k, w)
        if let Some(bias) = &self.bias {
            out.chunks_exact_mut(width).zip(bias).for_each(|(row, b)| row.iter_mut().for_each(|y| *y += b));
        }
        out
    }
}

/// (t, w) -> (w, `room`), zeros behind the t numbers of each row.
fn turned(x: &[f32], w: usize, room: usize) -> Vec<f32> {
    let mut out = vec![0.0; w * room];
    let target = Shared(out.as_mut_ptr());
    let task = |tile: usize| {
        let features = tile * TILE..w.min((tile + 1) * TILE);
        for (p, row) in x.chunks_exact(w).enumerate() {
            for f in features.clone() {
                // SAFETY: feature f below w, position p below t ≤ room; each task has its own features
                unsafe { *target.add(f * room + p).0 = row[f] }
            }
        }
    };
    debug_assert!(x.len() <= w * room);
    let tiles = w.div_ceil(TILE);
    if x.len() < SERIAL {
        (0..tiles).for_each(task)
    } else {
        pool::each(tiles, task)
    }
    out
}

/// The definition: y(i, f) = Σ_p E(i, p) x(p, f) + b(i) over the positions of x, in f64; `e` (k, N).
pub fn naive(e: &[f32], columns: usize, bias: Option<&[f32]>, x: &[f32], width: usize) -> Vec<f32> {
    let row = |(i, e): (usize, &[f32])| -> Vec<f32> {
        let sum = |f: usize| e.iter().zip(x.chunks_exact(width)).map(|(e, x)| f64::from(*e) * f64::from(x[f])).sum::<f64>();
        (0..width).map(|f| (sum(f) + bias.map_or(0.0, |b| f64::from(b[i]))) as f32).collect()
    };
    e.chunks_exact(columns).enumerate().flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linear::Layout;
    use crate::kernel::testing::noise;

    /// E of noise, as a matrix and packed.
    pub fn both(k: usize, columns: usize, bias: Option<Vec<f32>>) -> (Vec<f32>, Lengthwise) {
        let e = noise(k * columns, 5);
        let pack = |range: Range<usize>| {
            let part: Vec<f32> = e.chunks_exact(columns).flat_map(|row| &row[range.clone()]).copied().collect();
            Packed::new(&part, (k, range.len()), Layout::OutIn, None)
        };
        let packed = Lengthwise::new((k, columns), bias, pack);
        (e, packed)
    }

    #[test]
    fn is_its_definition_at_every_length() {
        for (k, columns, width) in [(1, 1, 1), (7, 40, 24), (3, 256, 17), (20, 700, 33), (5, 513, 64)] {
            for bias in [None, Some(noise(k, 9))] {
                let (e, packed) = both(k, columns, bias.clone());
                assert_eq!(packed.shape(), (k, columns));
                for n in [1, 2, columns / 2, columns.saturating_sub(1), columns, 255, 256, 257, 512] {
                    let n = n.clamp(1, columns);
                    let x = noise(n * width, n as u64);
                    let (got, want) = (packed.apply(&x, width), naive(&e, columns, bias.as_deref(), &x, width));
                    assert_eq!(got.len(), k * width);
                    assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-4), "{k} {columns} {width} {n}");
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        let (_, packed) = both(9, 900, None);
        let x = noise(900 * 48, 3);
        let run = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| packed.apply(&x, 48));
        assert_eq!(run(1), run(3));
    }
}
