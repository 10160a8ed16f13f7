//! NEON: a line of a panel is four registers; f32, bf16 and int8 weights, with and without the dot product of ARMv8.2.

use super::product::{Kernel, Operand, Product};
use super::tile::{Unit, run};
use crate::kernel::precision::Precision;
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// Whether this machine has what [`f32()`], [`bf16()`] and [`int8()`] need.
pub fn available() -> bool {
    is_aarch64_feature_detected!("neon")
}

/// Whether it has what [`int8_dot`] needs.
pub fn dot_available() -> bool {
    available() && is_aarch64_feature_detected!("dotprod")
}

/// The path's kernels.
pub fn kernel(precision: Precision) -> Kernel {
    match precision {
        Precision::F32 => Kernel { operand: Operand::F32, run: f32 },
        Precision::Bf16 => Kernel { operand: Operand::F32, run: bf16 },
        Precision::Int8 => Kernel { operand: Operand::Int8, run: if dot_available() { int8_dot } else { int8 } },
    }
}

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $unit:ident, $features:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As [`Product`] says; this machine has the instructions.
        #[target_feature(enable = $features)]
        pub unsafe fn $name(p: &Product) {
            // SAFETY: handed on
            unsafe { run::<$unit>(p) }
        }
    };
}

kernel!(
    /// f32 weights, x f32: ascending i, one fused multiply-add each.
    f32, Single, "neon"
);
kernel!(
    /// bf16 weights, x f32: each weight is the f32 that it is; the bits of [`f32()`] over the same numbers.
    bf16, Widened, "neon"
);
kernel!(
    /// int8 weights, x int8, exact, by widening to 16 bits.
    int8, Words, "neon"
);
kernel!(
    /// int8 weights, x int8, exact, by `sdot`.
    int8_dot, Dot, "neon,dotprod"
);

/// f32 by f32.
struct Single;
/// bf16 by f32: a line is its first inputs, shifted up, then its second, masked.
struct Widened;
/// int8 by int8 as 16-bit words.
struct Words;
/// int8 by int8, four at a time.
struct Dot;

/// 16 numbers of 32 bits.
type Four<T> = [T; 4];

/// `f` of 0, 1, 2, 3.
#[inline(always)]
fn four<T>(f: impl Fn(usize) -> T) -> Four<T> {
    [f(0), f(1), f(2), f(3)]
}

/// Sums of f32, and products with f32 operands.
macro_rules! floats {
    () => {
        type Sums = Four<float32x4_t>;
        type Weights = Four<float32x4_t>;
        type Operand = f32;
        const TILE: usize = 6;
        #[inline(always)]
        unsafe fn start(_: *const i32) -> Self::Sums {
            // SAFETY: NEON is here, as the trait's caller promised
            four(|_| unsafe { vdupq_n_f32(0.0) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::Sums {
            // SAFETY: 16 numbers
            four(|q| unsafe { vld1q_f32(from.add(4 * q)) })
        }
        #[inline(always)]
        unsafe fn store(sums: Self::Sums, to: *mut f32) {
            for (q, s) in sums.into_iter().enumerate() {
                // SAFETY: room for 16 numbers
                unsafe { vst1q_f32(to.add(4 * q), s) }
            }
        }
        #[inline(always)]
        unsafe fn operand(x: *const u8, part: usize) -> f32 {
            // SAFETY: a line takes `PARTS` f32 of x
            unsafe { x.cast::<f32>().add(part).read_unaligned() }
        }
        #[inline(always)]
        unsafe fn step(sums: Self::Sums, w: Self::Weights, x: f32) -> Self::Sums {
            // SAFETY: NEON is here
            four(|q| unsafe { vfmaq_n_f32(sums[q], w[q], x) })
        }
    };
}

impl Unit for Single {
    floats!();
    const BYTES: usize = 4;
    const PARTS: usize = 1;
    #[inline(always)]
    unsafe fn weights(line: *const u8, _: usize) -> Self::Weights {
        // SAFETY: a line is 64 bytes
        four(|q| unsafe { vld1q_f32(line.cast::<f32>().add(4 * q)) })
    }
}

impl Unit for Widened {
    floats!();
    const BYTES: usize = 8;
    const PARTS: usize = 2;
    #[inline(always)]
    unsafe fn weights(line: *const u8, part: usize) -> Self::Weights {
        // SAFETY: a line is 64 bytes; little endian: the first of two bf16 is the lower half
        four(|q| unsafe {
            let pairs = vld1q_u32(line.cast::<u32>().add(4 * q));
            vreinterpretq_f32_u32(match part {
                0 => vshlq_n_u32::<16>(pairs),
                _ => vandq_u32(pairs, vdupq_n_u32(0xffff_0000)),
            })
        })
    }
}

/// Sums of i32, and lines and operands of i8.
macro_rules! bytes {
    () => {
        type Sums = Four<int32x4_t>;
        type Weights = Four<int8x16_t>;
        type Operand = int8x16_t;
        const BYTES: usize = 4;
        const PARTS: usize = 1;
        const TILE: usize = 4;
        #[inline(always)]
        unsafe fn start(_: *const i32) -> Self::Sums {
            // SAFETY: NEON is here, as the trait's caller promised
            four(|_| unsafe { vdupq_n_s32(0) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::Sums {
            // SAFETY: 16 numbers
            four(|q| unsafe { vld1q_s32(from.cast::<i32>().add(4 * q)) })
        }
        #[inline(always)]
        unsafe fn store(sums: Self::Sums, to: *mut f32) {
            for (q, s) in sums.into_iter().enumerate() {
                // SAFETY: room for 16 numbers
                unsafe { vst1q_s32(to.cast::<i32>().add(4 * q), s) }
            }
        }
        #[inline(always)]
        unsafe fn weights(line: *const u8, _: usize) -> Self::Weights {
            // SAFETY: a line is 64 bytes
            four(|q| unsafe { vld1q_s8(line.cast::<i8>().add(16 * q)) })
        }
        #[inline(always)]
        unsafe fn operand(x: *const u8, _: usize) -> int8x16_t {
            // SAFETY: four bytes of x
            unsafe { vreinterpretq_s8_s32(vdupq_n_s32(x.cast::<i32>().read_unaligned())) }
        }
    };
}

impl Unit for Words {
    bytes!();
    #[inline(always)]
    unsafe fn step(sums: Self::Sums, w: Self::Weights, x: int8x16_t) -> Self::Sums {
        // SAFETY: NEON is here; no number is −128, so that two products fit an i16
        four(|q| unsafe {
            let (low, high) = (vmull_s8(vget_low_s8(w[q]), vget_low_s8(x)), vmull_high_s8(w[q], x));
            vpadalq_s16(sums[q], vpaddq_s16(low, high))
        })
    }
}

impl Unit for Dot {
    bytes!();
    #[inline(always)]
    unsafe fn step(sums: Self::Sums, w: Self::Weights, x: int8x16_t) -> Self::Sums {
        four(|q| {
            let mut sum = sums[q];
            // SAFETY: the dot product is here; registers only
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
                    sum = inout(vreg) sum, w = in(vreg) w[q], x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags)
                )
            }
            sum
        })
    }
}
