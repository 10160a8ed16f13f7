//! The non-linearities of feed-forward layers.
//!
//! Errors against the functions of real numbers, in units in the last place of the result, of any number on any path: GELU 0.52, as it is
//! computed in f64; its tanh form and SiLU 1.6 for x > 0 and 3.5 for x < 0; tanh 1.6 (see the tests). Where e^−|w| would leave the normal
//! numbers (|x| > 10.5 for the tanh form, 85.6 for SiLU) the result for negative x is 0, off by less than 1e-35. GELU, its tanh form and
//! SiLU of −∞ are not a number: −∞ · 0, as elsewhere.

use super::super::simd::Lanes;
use super::PAD;
use super::exp::{exp, times_exp, wide_exp};
use super::wide::Wide;

/// A function of one number.
pub trait Function: private::Sixteen {}

pub(super) mod private {
    use super::{Lanes, Wide};

    /// A function in registers.
    pub trait Sixteen: Copy + Sync {
        /// y(i) ← f(x(i)) for 16 numbers; x and y may be the same.
        ///
        /// # Safety
        /// There are 16 numbers, and this machine has the instruction set of `L` and `W`.
        unsafe fn sixteen<L: Lanes, W: Wide>(self, x: *const f32, y: *mut f32);
    }
}
use private::Sixteen;

/// x Φ(x), with Φ the normal distribution: x (1 + erf(x / √2)) / 2.
#[derive(Debug, Clone, Copy)]
pub struct Gelu;

/// x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
#[derive(Debug, Clone, Copy)]
pub struct GeluTanh;

/// max(x, 0); not a number stays so.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

/// x / (1 + e^−x).
#[derive(Debug, Clone, Copy)]
pub struct Silu;

/// tanh x.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

/// A function of f32 registers.
pub(super) trait Lanewise {
    unsafe fn of<L: Lanes>(self, x: L) -> L;
}

/// Makes [`Function`]s of them.
macro_rules! functions {
    ($($name:ty),*) => {$(
        impl Function for $name {}
        impl Sixteen for $name {
            #[inline(always)]
            unsafe fn sixteen<L: Lanes, W: Wide>(self, x: *const f32, y: *mut f32) {
                // SAFETY: 16 numbers are whole registers
                unsafe {
                    for i in (0..PAD).step_by(L::N) {
                        self.of(L::load(x.add(i))).store(y.add(i));
                    }
                }
            }
        }
    )*};
}
#[cfg(test)]
pub(super) use functions;
functions!(GeluTanh, Relu, Silu, Tanh);

#[inline(always)]
unsafe fn c<L: Lanes>(x: f32) -> L {
    // SAFETY: the caller has checked the instruction set
    unsafe { L::splat(x) }
}

/// c₀ + c₁ x + …
#[inline(always)]
unsafe fn polynomial<L: Lanes, const N: usize>(x: L, coefficients: [f32; N]) -> L {
    // SAFETY: the caller has checked the instruction set
    unsafe {
        let mut p = L::splat(coefficients[N - 1]);
        let mut i = N - 1;
        while i > 0 {
            i -= 1;
            p = p.mul_add(x, L::splat(coefficients[i]));
        }
        p
    }
}

impl Function for Gelu {}
impl Sixteen for Gelu {
    #[inline(always)]
    unsafe fn sixteen<L: Lanes, W: Wide>(self, x: *const f32, y: *mut f32) {
        // SAFETY: the caller's 16 numbers, 8 and 8
        unsafe {
            let (low, high) = (gelu(W::load(x)), gelu(W::load(x.add(8))));
            low.store(y);
            high.store(y.add(8));
        }
    }
}

/// x − |x| Q(|x|) for x > 0, −|x| Q(|x|) for x < 0, where Q(a) = Φ(−a) = e^(−a²/2) F(t) / (a + 3) with t = (a − 3) / (a + 3): F goes
/// gently from 3/2 to 1/√(2π), and its minimax polynomial of degree 10 over a ≤ 14.5, where an f32 ends, is within 1e-9 of it.
#[inline(always)]
unsafe fn gelu<W: Wide>(x: W) -> W {
    const F: [f64; 11] = [
        7.290836903701e-01,
        -5.093319914077e-01,
        2.300176999586e-01,
        -4.726268758785e-02,
        -1.046252037914e-02,
        6.969302193405e-03,
        1.024784095017e-03,
        -1.032523911394e-03,
        -2.447546505119e-04,
        1.312536924151e-04,
        5.445498553555e-05,
    ];
    // SAFETY: the caller has checked the instruction set
    unsafe {
        let zero = W::splat(0.0);
        let negative = zero.sub(x);
        // −|x|, not below −20: what follows is 0 there
        let minus = W::splat(-20.0).max(zero.sub(negative.max(x)));
        let power = wide_exp(minus.mul(minus).mul(W::splat(-0.5)), 4);
        let inverse = W::splat(1.0).div(W::splat(3.0).sub(minus));
        let t = inverse.mul_add(W::splat(-6.0), W::splat(1.0));
        let mut f = W::splat(F[10]);
        for c in F[..10].iter().rev() {
            f = f.mul_add(t, W::splat(*c));
        }
        let tail = minus.mul(f.mul(inverse).mul(power));
        // 0, but no number where x is −∞
        let nothing = negative.max(zero).mul(zero);
        tail.add(zero.max(x)).add(nothing)
    }
}

/// x / (1 + e^−w) of a = |w| in two parts, where w has the sign of x.
#[inline(always)]
unsafe fn gate<L: Lanes>(x: L, high: L, low: L) -> L {
    // SAFETY: the caller has checked the instruction set
    unsafe {
        let zero = c::<L>(0.0);
        let e = times_exp(c(1.0), zero.sub(high), zero.sub(low));
        x.if_above(zero, x, x.mul(e)).div(e.add(c(1.0)))
    }
}

impl Lanewise for GeluTanh {
    /// x / (1 + e^−w) with w = 2 √(2/π) (x + 0.044715 x³) in two parts: its rounding would cost the power |w|/2 units in the last place.
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, x: L) -> L {
        // 2 √(2/π), and that times 0.044715
        const ONE: [f32; 2] = [1.595_769_2, -4.534_068e-8];
        const THREE: [f32; 2] = [0.071_354_814, 2.398_832_5e-9];
        // SAFETY: the caller has checked the instruction set
        unsafe {
            let a = c::<L>(12.0).min(c::<L>(0.0).sub(x).max(x));
            let (square, square_low) = a.exact_product(a);
            let (cube, cube_low) = square.exact_product(c(THREE[0]));
            let factor = cube.add(c(ONE[0]));
            // what this addition lost: exactly, whichever is larger
            let added = factor.sub(c(ONE[0]));
            let lost = c::<L>(ONE[0]).sub(factor.sub(added)).add(cube.sub(added));
            let low = square.mul_add(c(THREE[1]), square_low.mul_add(c(THREE[0]), cube_low)).add(lost).add(c(ONE[1]));
            let (high, product_low) = a.exact_product(factor);
            gate(x, high, a.mul_add(low, product_low))
        }
    }
}

impl Lanewise for Relu {
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, x: L) -> L {
        // SAFETY: the caller has checked the instruction set
        unsafe { c::<L>(0.0).max(x) }
    }
}

impl Lanewise for Silu {
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, x: L) -> L {
        // SAFETY: the caller has checked the instruction set
        unsafe { gate(x, c::<L>(0.0).sub(x).max(x), c(0.0)) }
    }
}

impl Lanewise for Tanh {
    /// x + x³ P(x²) for |x| < 0.55, else ±(1 − 2 / (1 + e^2|x|)).
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, x: L) -> L {
        // SAFETY: the caller has checked the instruction set
        unsafe {
            let negative = c::<L>(0.0).sub(x);
            let a = negative.max(x);
            let square = x.mul(x);
            let p = polynomial(square, [-0.333_333_17, 0.133_325_86, -0.053_852_31, 0.021_071_682, -0.006_274_243]);
            let small = square.mul(x).mul_add(p, x);
            let e = exp(a.mul(c(-2.0)));
            let far = e.mul(c(-2.0)).div(e.add(c(1.0))).add(c(1.0));
            let signed = x.if_above(c(0.0), far, c::<L>(0.0).sub(far));
            c::<L>(0.55).if_above(a, small, signed)
        }
    }
}
