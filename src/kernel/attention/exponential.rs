//! Exponentials of a chunk's scores, in place.
//!
//! Scores come in units of ln 2, so that e^(s ln 2) is 2^s and needs no reduction: 2^s = 2ⁿ · 2^r with n the nearest integer and r exact.

use crate::kernel::keys::LANES;
use crate::kernel::simd::Lanes;

/// 1.5 · 2²³: adding it rounds to an integer.
pub(super) const MAGIC: f32 = 12_582_912.0;
/// Below this, powers are 0.
pub(super) const LEAST: f32 = -126.0;
/// (2^r − 1) / r on −½..½, the polynomial through six Chebyshev points, last power first: 9.2e-9 of 2^r at most.
pub(super) const POWER: [f32; 6] = [1.545_316_3e-4, 1.339_086_3e-3, 9.618_083e-3, 5.550_357e-2, 2.402_265e-1, std::f32::consts::LN_2];

/// 2^x for x ≤ 0 to 1.3 units in the last place; 0 below −126; NaN stays NaN.
#[inline(always)]
unsafe fn power<L: Lanes>(x: L) -> L {
    // SAFETY: the caller has checked the instruction set
    unsafe {
        let (magic, least) = (L::splat(MAGIC), L::splat(LEAST));
        let y = least.max(x);
        let rounded = y.add(magic);
        let r = y.sub(rounded.sub(magic));
        let mut q = L::splat(POWER[0]);
        for c in &POWER[1..] {
            q = q.mul_add(r, L::splat(*c));
        }
        let power = q.mul_add(r, L::splat(1.0)).mul(L::splat(1.0).shift_exponent(rounded));
        least.if_above(x, L::splat(0.0), power)
    }
}

/// s ← 2^(s − max) for the greater of `max` and all of s; returns this maximum, the sum of the powers, and 2^(old maximum − new).
///
/// `n` is a multiple of [`LANES`]; scores of hidden keys are −∞ and add exactly nothing. Partial sums are kept for each of [`LANES`] columns,
/// `H` registers, and then added as a tree: the order depends on the columns alone, on no path and on no neighbour.
///
/// # Safety
/// This machine has the instruction set of `L`, `H · L::N` is [`LANES`], `s` points to `n` floats.
#[inline(always)]
pub(super) unsafe fn exponentials<L: Lanes, const H: usize>(s: *mut f32, n: usize, max: f32) -> (f32, f32, f32) {
    // SAFETY: i + c · L::N + L::N ≤ n
    unsafe {
        let mut top = [L::splat(max); H];
        for i in (0..n).step_by(LANES) {
            for (c, top) in top.iter_mut().enumerate() {
                *top = L::load(s.add(i + c * L::N)).max(*top); // NaN is left out here, and comes back in the sum
            }
        }
        let mut lanes = [0.0f32; LANES];
        store(&top, &mut lanes);
        let top = tree(lanes, |a, b| if a > b { a } else { b });
        let (shift, mut sums) = (L::splat(top), [L::splat(0.0); H]);
        for i in (0..n).step_by(LANES) {
            for (c, sum) in sums.iter_mut().enumerate() {
                let at = s.add(i + c * L::N);
                let p = power(L::load(at).sub(shift));
                p.store(at);
                *sum = sum.add(p);
            }
        }
        store(&sums, &mut lanes);
        let sum = tree(lanes, |a, b| a + b);
        power(L::splat(max - top)).store(lanes.as_mut_ptr());
        (top, sum, lanes[0])
    }
}

#[inline(always)]
unsafe fn store<L: Lanes, const H: usize>(registers: &[L; H], lanes: &mut [f32; LANES]) {
    debug_assert_eq!(L::N * H, LANES);
    for (c, r) in registers.iter().enumerate() {
        // SAFETY: H registers fill the lanes
        unsafe { r.store(lanes.as_mut_ptr().add(c * L::N)) }
    }
}

/// Joins halves until one number is left.
#[inline(always)]
pub(super) fn tree(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}
