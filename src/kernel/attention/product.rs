//! The two products of a chunk: query rows with blocks of keys, probabilities with values.
//!
//! Every output is one sum in the order of features or of keys, whatever the number of rows: registers hold `R` rows of `P` registers, enough of them
//! to keep the multipliers busy.

use super::CHUNK;
use crate::kernel::keys::{BLOCK, Element};
use crate::kernel::simd::Lanes;
use std::ops::Range;

/// An [`Element`] that registers can be filled with.
pub(in crate::kernel) trait Load: Element {
    /// Reads `L::N` numbers, exactly.
    ///
    /// # Safety
    /// This machine has the instruction set of `L`, `p` points to `L::N` numbers.
    unsafe fn load<L: Lanes>(p: *const Self) -> L;
}

impl Load for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const Self) -> L {
        // SAFETY: the caller's promise
        unsafe { L::load(p) }
    }
}

impl Load for u16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const Self) -> L {
        // SAFETY: the caller's promise
        unsafe { L::load_bf16(p) }
    }
}

/// out(r, j) = Σ_f q(r, f) · k(f, j) for R rows, `width` floats apart, and the [`BLOCK`] keys of a block; rows of `out` are [`CHUNK`] apart.
///
/// # Safety
/// This machine has the instruction set of `L`; the pointers are valid for R rows and a block.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes, E: Load, const R: usize, const P: usize>(q: *const f32, width: usize, k: *const E, out: *mut f32) {
    for j in (0..BLOCK).step_by(P * L::N) {
        // SAFETY: columns j.. of what the caller promised
        unsafe {
            let mut acc = [[L::splat(0.0); P]; R];
            let mut line = k.add(j);
            for f in 0..width {
                acc = add_line::<L, E, R, P>(acc, q.add(f), width, line);
                line = line.add(BLOCK);
            }
            for (r, row) in acc.iter().enumerate() {
                for (c, a) in row.iter().enumerate() {
                    a.store(out.add(r * CHUNK + j + c * L::N));
                }
            }
        }
    }
}

/// out(r) ← out(r) + Σ_j p(r, j) · v(j) over the keys `keys`, `v` from the first of them on in lines `stride` numbers apart, and P registers of features;
/// rows of `p` are [`CHUNK`] apart, rows of `out` [`BLOCK`].
///
/// # Safety
/// As [`scores`], for the keys and features named.
#[inline(always)]
pub(super) unsafe fn values<L: Lanes, E: Load, const R: usize, const P: usize>(
    p: *const f32,
    (v, stride): (*const E, usize),
    keys: Range<usize>,
    out: *mut f32,
) {
    // SAFETY: the caller's promise; the pointer behind the last line is never read
    unsafe {
        let mut acc = [[L::splat(0.0); P]; R];
        for (r, row) in acc.iter_mut().enumerate() {
            for (c, a) in row.iter_mut().enumerate() {
                *a = L::load(out.add(r * BLOCK + c * L::N));
            }
        }
        let mut line = v;
        for j in keys {
            acc = add_line::<L, E, R, P>(acc, p.add(j), CHUNK, line);
            line = line.wrapping_add(stride);
        }
        for (r, row) in acc.iter().enumerate() {
            for (c, a) in row.iter().enumerate() {
                a.store(out.add(r * BLOCK + c * L::N));
            }
        }
    }
}

/// acc(r) + x(r) · line, rows of x `stride` floats apart.
#[inline(always)]
unsafe fn add_line<L: Lanes, E: Load, const R: usize, const P: usize>(
    mut acc: [[L; P]; R],
    x: *const f32,
    stride: usize,
    line: *const E,
) -> [[L; P]; R] {
    // SAFETY: the caller's promise
    unsafe {
        let mut xs = [L::splat(0.0); R];
        for (r, x_r) in xs.iter_mut().enumerate() {
            *x_r = L::splat(*x.add(r * stride));
        }
        for c in 0..P {
            let w = E::load::<L>(line.add(c * L::N));
            for (row, x) in acc.iter_mut().zip(xs) {
                row[c] = x.mul_add(w, row[c]);
            }
        }
    }
    acc
}
