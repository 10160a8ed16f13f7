//! e^x in registers, and the inside of a softmax.
//!
//! 2ⁿ · p(r) with x = n ln 2 + r: n from the mantissa bits of x · log₂ e + 1.5 · 2²³ (2⁵² in f64), p a polynomial.

use super::super::simd::{Isa, Lanes, isa};
use super::wide::Wide;
use super::{Loop, PAD, on};

/// Where f32 results end: e^x for x below is 0 here, though an f32 goes on to 1.4e-45. Above it a quarter of 2ⁿ is still a normal number.
pub(super) const LEAST: f32 = -85.6;

/// f · e^(high + low) for high ≤ 0, |low| ≤ 0.06 and 0.4 ≤ f ≤ 2: 0 below [`LEAST`]; not a number where `high` is none.
///
/// p is 1 + r + r² q(r) with q the minimax polynomial of degree 4 over |r| ≤ ln 2 / 2 + 0.06: 0.9e-8 of e^r. With r rounded to 2⁻²⁶ and
/// f p once, as f + f (p − 1): about one unit in the last place.
#[inline(always)]
pub(super) unsafe fn times_exp<L: Lanes>(f: L, high: L, low: L) -> L {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
    const LN2_HIGH: f32 = 0.693_145_75; // 17 bits, so that n · LN2_HIGH is exact
    const LN2_LOW: f32 = 1.428_606_8e-6;
    // SAFETY: the caller has checked the instruction set
    unsafe {
        let c = |x: f32| L::splat(x);
        let y = c(LEAST).max(high);
        let t = y.mul_add(c(std::f32::consts::LOG2_E), c(MAGIC));
        let n = t.sub(c(MAGIC));
        let r = n.mul_add(c(-LN2_LOW), n.mul_add(c(-LN2_HIGH), y)).add(low);
        let q = c(0.001_378_780_9);
        let q = q.mul_add(r, c(0.008_381_71));
        let q = q.mul_add(r, c(0.041_669_876));
        let q = q.mul_add(r, c(0.166_663_94));
        let q = q.mul_add(r, c(0.499_999_83));
        let p = q.mul_add(r.mul(r), r).mul_add(f, f);
        // the bits of a NaN are no exponent: it comes back through the other branch
        high.if_above(c(LEAST), p.shift_exponent(t), c(0.0).max(high))
    }
}

/// e^x for x ≤ 0, or hardly more.
#[inline(always)]
pub(in crate::kernel) unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: the caller has checked the instruction set
    unsafe { times_exp(L::splat(1.0), x, L::splat(0.0)) }
}

/// e^x for x ≤ 0 in f64, e^−708 below −708: Taylor without its `short` last terms, of which there are 14 (|r| ≤ 0.35).
///
/// The 14 leave out 4e-18 of the result, 10 of them 7e-12.
#[inline(always)]
pub(super) unsafe fn wide_exp<W: Wide>(x: W, short: usize) -> W {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 · 2⁵²
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8; // 33 bits
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // SAFETY: the caller has checked the instruction set
    unsafe {
        let y = W::splat(-708.0).max(x);
        let t = y.mul_add(W::splat(std::f64::consts::LOG2_E), W::splat(MAGIC));
        let n = t.sub(W::splat(MAGIC));
        let r = n.mul_add(W::splat(-LN2_LOW), n.mul_add(W::splat(-LN2_HIGH), y));
        let mut p = W::splat(INVERSE_FACTORIALS[short]);
        for c in &INVERSE_FACTORIALS[short + 1..] {
            p = p.mul_add(r, W::splat(*c));
        }
        let e = p.mul_add(r.mul(r), r).add(W::splat(1.0)).shift_exponent(t);
        // a NaN stays one whatever its bits became
        y.mul_add(W::splat(0.0), e)
    }
}

/// 1/13! to 1/2!.
const INVERSE_FACTORIALS: [f64; 12] = {
    let mut out = [0.0; 12];
    let (mut i, mut factorial) = (0, 1.0);
    while i < 12 {
        factorial *= (i + 2) as f64;
        out[11 - i] = 1.0 / factorial;
        i += 1;
    }
    out
};

/// row ← e^(row − max); returns the sum. A NaN anywhere makes the sum NaN.
///
/// The length is a multiple of 16; partial sums are kept a lane, so that the order of addition depends on the length alone.
pub fn exp_row(row: &mut [f32]) -> f32 {
    exp_row_on(isa(), row)
}

pub(super) fn exp_row_on(isa: Isa, row: &mut [f32]) -> f32 {
    on(isa, ExpRow(row))
}

struct ExpRow<'a>(&'a mut [f32]);

impl Loop for ExpRow<'_> {
    type Out = f32;
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) -> f32 {
        let (n, p) = (self.0.len() / PAD * PAD, self.0.as_mut_ptr());
        // SAFETY: whole registers of n numbers
        unsafe {
            let max = L::splat(maximum::<L>(p, n));
            // 16 sums, in one register or two
            let mut sums = [L::splat(0.0); 2];
            for i in (0..n).step_by(PAD) {
                for (r, sum) in sums[..PAD / L::N].iter_mut().enumerate() {
                    let at = p.add(i + r * L::N);
                    let e = exp(L::load(at).sub(max));
                    e.store(at);
                    *sum = sum.add(e);
                }
            }
            let mut lanes = [0.0f32; PAD];
            for (r, sum) in sums[..PAD / L::N].iter().enumerate() {
                sum.store(lanes.as_mut_ptr().add(r * L::N));
            }
            (0..8).map(|i| lanes[i] + lanes[i + 8]).sum()
        }
    }
}

/// The largest of n numbers, those that are none left out; −∞ of nothing.
#[inline(always)]
unsafe fn maximum<L: Lanes>(p: *const f32, n: usize) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 4 * PAD];
    let step = 4 * L::N;
    let whole = n - n % step;
    // SAFETY: whole registers of n numbers, four at a time; the rest one by one
    unsafe {
        let mut top = [L::splat(f32::NEG_INFINITY); 4];
        for i in (0..whole).step_by(step) {
            for (r, top) in top.iter_mut().enumerate() {
                *top = L::load(p.add(i + r * L::N)).max(*top);
            }
        }
        for (r, top) in top.iter().enumerate() {
            top.store(lanes.as_mut_ptr().add(r * L::N));
        }
        let rest = std::slice::from_raw_parts(p.add(whole), n - whole);
        lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// The largest number m of a row and Σ e^(x − m) in f64, the differences and powers in f64 too. A NaN anywhere makes the sum NaN.
///
/// Partial sums are kept a lane: the order of addition depends on the length alone.
pub fn log_sum_exp(row: &[f32]) -> (f32, f64) {
    log_sum_exp_on(isa(), row)
}

pub(super) fn log_sum_exp_on(isa: Isa, row: &[f32]) -> (f32, f64) {
    on(isa, SumExp(row))
}

struct SumExp<'a>(&'a [f32]);

impl Loop for SumExp<'_> {
    type Out = (f32, f64);
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) -> (f32, f64) {
        let (n, p) = (self.0.len(), self.0.as_ptr());
        let whole = n - n % PAD;
        // SAFETY: 16 numbers at a time of n, the rest from a padded copy
        unsafe {
            let top = maximum::<L>(p, n);
            let max = W::splat(f64::from(top));
            let mut sums = [W::splat(0.0); 2];
            for i in (0..whole).step_by(PAD) {
                sums = add_powers(sums, p.add(i), max);
            }
            if whole < n {
                // e^(−∞) is 3e-308 here, and nothing beside the 1 that the largest adds
                let mut pad = [f32::NEG_INFINITY; PAD];
                pad[..n - whole].copy_from_slice(&self.0[whole..]);
                sums = add_powers(sums, pad.as_ptr(), max);
            }
            (top, sums[0].add(sums[1]).lanes().iter().sum())
        }
    }
}

/// Adds e^(x − max) of 16 numbers to 16 sums.
#[inline(always)]
unsafe fn add_powers<W: Wide>(sums: [W; 2], p: *const f32, max: W) -> [W; 2] {
    // SAFETY: 16 numbers
    unsafe { [sums[0].add(wide_exp(W::load(p).sub(max), 0)), sums[1].add(wide_exp(W::load(p.add(8)).sub(max), 0))] }
}
