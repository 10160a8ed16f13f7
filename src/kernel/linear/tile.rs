//! The loops that the vector paths share: panels side by side, blocks of lines, rows in tiles of accumulators.
//!
//! A group of panels passes once over all rows, [`BLOCK`] lines at a time: the slab of a group (24 KiB for four panels) stays in the
//! first-level cache while the rows pass over it, and one row streams four panels at once. Between two blocks the sums wait in `out`,
//! as the bits that they are, so that blocks and tiles change nothing about an output.

use super::product::{LINE, Product, WIDTH};
use std::mem::MaybeUninit;

/// Lines of a block; a multiple of 16.
pub(crate) const BLOCK: usize = 96;
/// Rows of a tile at most.
const TALL: usize = 8;

/// What a path does with its registers.
pub(crate) trait Unit {
    /// The 16 sums of a row and a panel.
    type Sums: Copy;
    /// A line, or one of its [`Unit::PARTS`], as [`Unit::step`] wants it.
    type Weights: Copy;
    /// What a row brings to it, in every lane.
    type Operand: Copy;
    /// Bytes of a row of x that a line takes.
    const BYTES: usize;
    /// Steps that a line is taken in, where its numbers have to be unpacked.
    const PARTS: usize;
    /// `Sums` that the registers hold beside what else a step needs.
    const TILE: usize;

    /// Sums of no line.
    ///
    /// # Safety
    /// This machine has the path's instructions, here and below; `sums` is null or has 16 numbers.
    unsafe fn start(sums: *const i32) -> Self::Sums;

    /// Sums that were stored.
    ///
    /// # Safety
    /// `from` has 16 numbers.
    unsafe fn load(from: *const f32) -> Self::Sums;

    /// Stores them.
    ///
    /// # Safety
    /// `to` has room for 16 numbers.
    unsafe fn store(sums: Self::Sums, to: *mut f32);

    /// Part `part` of a line.
    ///
    /// # Safety
    /// `line` has [`LINE`] bytes.
    unsafe fn weights(line: *const u8, part: usize) -> Self::Weights;

    /// Part `part` of a row's numbers for a line.
    ///
    /// # Safety
    /// `x` has [`Unit::BYTES`].
    unsafe fn operand(x: *const u8, part: usize) -> Self::Operand;

    /// Adds their products.
    ///
    /// # Safety
    /// As above.
    unsafe fn step(sums: Self::Sums, w: Self::Weights, x: Self::Operand) -> Self::Sums;

    /// Changes `rows` rows of x, `bytes` each and `stride` apart, into what [`Unit::operand`] reads; returns the first and their stride.
    ///
    /// # Safety
    /// The rows are there; `bytes` is at most `BLOCK × BYTES`, `rows` at most 8.
    #[inline(always)]
    unsafe fn stage(_: &mut Room, x: *const u8, stride: usize, _rows: usize, _bytes: usize) -> (*const u8, usize) {
        (x, stride)
    }
}

/// Where [`Unit::stage`] puts rows of int8.
#[repr(align(64))]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
pub(crate) struct Room(pub [MaybeUninit<u8>; TALL * BLOCK * 4]);

/// Runs a product; to be inlined where the path's instructions are enabled.
///
/// # Safety
/// As [`Product`] says, and this machine has the path's instructions.
#[inline(always)]
pub(crate) unsafe fn run<U: Unit>(p: &Product) {
    let mut at = 0;
    while at < p.rows.min(1) * p.count {
        let left = p.count - at;
        // SAFETY: panels at .. at + 4, 2 or 1 of the product
        at += unsafe {
            match (U::TILE / p.rows.min(6)).min(left) {
                4.. => group::<U, 4>(&p.of_panels(at, 4)),
                2.. => group::<U, 2>(&p.of_panels(at, 2)),
                _ => group::<U, 1>(&p.of_panels(at, 1)),
            }
        };
    }
}

/// All rows against P panels; returns P.
#[inline(always)]
unsafe fn group<U: Unit, const P: usize>(p: &Product) -> usize {
    let (mut at, most) = (0, U::TILE / P);
    loop {
        let lines = BLOCK.min(p.lines - at);
        let mut r = 0;
        while r < p.rows {
            let left = (p.rows - r).min(most);
            // SAFETY: rows r.. of the product, as many as the tile has; lines at .. at + lines
            r += unsafe {
                match left {
                    TALL.. if most >= TALL => tile::<U, P, TALL>(p, r, at, lines),
                    6.. if most >= 6 => tile::<U, P, 6>(p, r, at, lines),
                    3.. if most >= 3 => tile::<U, P, 3>(p, r, at, lines),
                    2.. if most >= 2 => tile::<U, P, 2>(p, r, at, lines),
                    _ => tile::<U, P, 1>(p, r, at, lines),
                }
            };
        }
        at += lines;
        if at >= p.lines {
            return P;
        }
    }
}

/// R rows from `row` against P panels, `lines` lines from `at`; returns R.
#[inline(always)]
unsafe fn tile<U: Unit, const P: usize, const R: usize>(p: &Product, row: usize, at: usize, lines: usize) -> usize {
    // SAFETY: rows row .. row + R, P panels and lines at .. at + lines are of the product; `room` lives as long as what is staged in it
    unsafe {
        let out = p.out.add(row * p.out_stride);
        let mut room = Room([MaybeUninit::uninit(); TALL * BLOCK * 4]);
        let (mut x, stride) = U::stage(&mut room, p.x.add(row * p.stride + at * U::BYTES), p.stride, R, lines * U::BYTES);
        let mut line = p.panels.add(at * LINE);
        let mut sums = [[U::start(std::ptr::null()); P]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            for (c, sums) in sums.iter_mut().enumerate() {
                *sums = if at == 0 {
                    U::start(if p.sums.is_null() { p.sums } else { p.sums.add(c * WIDTH) })
                } else {
                    U::load(out.add(r * p.out_stride + c * WIDTH))
                };
            }
        }
        for _ in 0..lines {
            for part in 0..U::PARTS {
                let mut w = [U::weights(line, part); P];
                for (c, w) in w.iter_mut().enumerate().skip(1) {
                    *w = U::weights(line.add(c * p.pitch()), part);
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = U::operand(x.add(r * stride), part);
                    for (sums, w) in sums.iter_mut().zip(w) {
                        *sums = U::step(*sums, w, x);
                    }
                }
            }
            (line, x) = (line.add(LINE), x.add(U::BYTES));
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sums) in sums.iter().enumerate() {
                U::store(*sums, out.add(r * p.out_stride + c * WIDTH));
            }
        }
    }
    R
}
