//! What happens between the products: activations, norms, exponentials, sums, each number or row by itself.
//!
//! - [`map`], [`mapped`]: [`Gelu`], [`GeluTanh`], [`Relu`], [`Silu`], [`Tanh`]
//! - [`layer_norm`], [`add_layer_norm`], [`append_layer_norm`]
//! - [`exp_row`], [`log_sum_exp`]: the inside of a softmax
//! - [`add`], [`multiply`], [`scale`]
//!
//! A loop is written once over [`Lanes`] or `Wide` and compiled for each path of [`super::simd`]. The end of a slice that fills no
//! register is padded and goes through the same instructions: what becomes of a number depends neither on where it stands nor on
//! its neighbours.

mod activation;
mod exp;
mod norm;
mod wide;

pub use activation::{Function, Gelu, GeluTanh, Relu, Silu, Tanh};
pub(super) use exp::exp;
pub use exp::{exp_row, log_sum_exp};
pub use norm::{Norm, add_layer_norm, append_layer_norm, layer_norm};

use super::Shared;
use super::pool::each;
use super::simd::{Isa, Lanes, Plain, isa};
use wide::Eight;
pub(super) use wide::Wide;

/// A loop that is compiled for each path.
pub(super) trait Loop {
    type Out;
    /// The loop over the registers of one path.
    ///
    /// # Safety
    /// The machine has the instruction set of `L` and `W`.
    unsafe fn run<L: Lanes, W: Wide>(self) -> Self::Out;
}

/// Runs a loop on the path `isa`, which the machine has.
pub(super) fn on<K: Loop>(isa: Isa, k: K) -> K::Out {
    debug_assert!(isa.available());
    // SAFETY: `isa` is available, plain loops always are
    unsafe {
        match isa.lanes() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(k),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(k),
            _ => k.run::<Plain, Eight>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn avx512<K: Loop>(k: K) -> K::Out {
    // SAFETY: the caller has checked the instruction set
    unsafe { k.run::<super::simd::Zmm, wide::Zmm>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<K: Loop>(k: K) -> K::Out {
    // SAFETY: the caller has checked the instruction set
    unsafe { k.run::<super::simd::Ymm, wide::Ymm>() }
}

/// Activations of a task of a parallel loop.
///
/// Measured: on two threads that are awake the halves of a GELU of 2,048 numbers (4 µs) take half its time; where the other thread gets
/// no core the cut costs nothing, and 2 µs where the pool has slept for a millisecond.
const TASK: usize = 1 << 12;

/// Calls `f` with the parts of 0..n, whole rows of `row`, in parallel where there are two of `task` numbers.
fn parts(n: usize, row: usize, task: usize, f: impl Fn(std::ops::Range<usize>) + Sync) {
    if n < 2 * task {
        return f(0..n);
    }
    let part = task.div_ceil(row) * row;
    each(n.div_ceil(part), |t| f(t * part..n.min((t + 1) * part)));
}

/// A vector of `n` numbers that `f` writes: all of those behind the place it is given.
fn written(n: usize, f: impl FnOnce(Shared)) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(n);
    appended(&mut out, n, f);
    out
}

/// Appends `n` numbers that `f` writes, all of those behind the place it is given.
fn appended(out: &mut Vec<f32>, n: usize, f: impl FnOnce(Shared)) {
    out.reserve(n);
    let first = out.len();
    // SAFETY: room for n more, all written by `f`
    unsafe {
        f(Shared(out.as_mut_ptr()).add(first));
        out.set_len(first + n);
    }
}

/// x ← f(x), in parallel where that pays.
pub fn map<F: Function>(f: F, x: &mut [f32]) {
    let at = Shared(x.as_mut_ptr());
    // SAFETY: parts of x, no two the same
    parts(x.len(), 1, TASK, |r| on(isa(), Map(f, unsafe { at.add(r.start) }.0, unsafe { at.add(r.start) }.0, r.len())));
}

/// f(x) of every number, in parallel where that pays.
pub fn mapped<F: Function>(f: F, x: &[f32]) -> Vec<f32> {
    // SAFETY: parts of x and of as much room, no two the same
    written(x.len(), |y| parts(x.len(), 1, TASK, |r| on(isa(), Map(f, x[r.clone()].as_ptr(), unsafe { y.add(r.start) }.0, r.len()))))
}

/// y(i) ← f(x(i)); x and y are the same or do not overlap, and have so many numbers.
struct Map<F>(F, *const f32, *mut f32, usize);

impl<F: Function> Loop for Map<F> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        let Map(f, x, y, n) = self;
        let whole = n - n % PAD;
        // SAFETY: `whole` and `n - whole` numbers of x and y, and PAD of the padded copy
        unsafe {
            for i in (0..whole).step_by(PAD) {
                f.sixteen::<L, W>(x.add(i), y.add(i));
            }
            if whole < n {
                let mut pad = [0.0f32; PAD];
                pad.as_mut_ptr().copy_from_nonoverlapping(x.add(whole), n - whole);
                f.sixteen::<L, W>(pad.as_ptr(), pad.as_mut_ptr());
                y.add(whole).copy_from_nonoverlapping(pad.as_ptr(), n - whole);
            }
        }
    }
}

/// Floats of the widest register.
const PAD: usize = 16;

/// x ← x + y. Both have the same length.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// x ← x ⊙ y, in parallel where that pays. Both have the same length.
pub fn multiply(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "as many numbers on both sides");
    let at = Shared(x.as_mut_ptr());
    parts(x.len(), 1, 4 * TASK, |r| {
        // SAFETY: parts of x, no two the same
        let x = unsafe { std::slice::from_raw_parts_mut(at.add(r.start).0, r.len()) };
        x.iter_mut().zip(&y[r]).for_each(|(x, y)| *x *= y);
    });
}

/// x ← factor · x.
pub fn scale(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

#[cfg(test)]
mod tests;
