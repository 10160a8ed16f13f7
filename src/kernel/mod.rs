//! CPU loops over slices; nothing here knows a tensor but [`slice()`] and [`tensor`].
//!
//! - [`linear`]: products with packed weights
//! - [`rows`], [`sparse_ff`], [`factored`], [`local`]: weights of which a step reads a part, or that stand for larger ones
//! - [`lengthwise`]: products along the length of a text
//! - [`attention`]: softmax attention over stored [`keys`]
//! - [`queue`]: the same over a queue and a segment, with vectors for distances and a tally of what was looked at
//! - [`linear_attention`]: attention by sums over [`features`]
//! - [`elementwise`]: exponentials, norms, activations
//! - [`simd`], [`pool`], [`precision`], [`buffer`]: what they are made of
//! - [`stream`]: how fast the machine reads memory, for the others to be compared with

pub mod attention;
pub mod buffer;
pub mod elementwise;
pub mod factored;
pub mod features;
pub mod keys;
pub mod lengthwise;
pub mod linear;
pub mod linear_attention;
pub mod local;
pub mod pool;
pub mod precision;
pub mod queue;
pub mod rows;
pub mod simd;
pub mod sparse_ff;
pub mod stream;

use crate::error::{Error, Result};
use candle_core::{DType, Device, Shape, Storage, Tensor};

/// Calls `f` with the numbers of a tensor, row-major, without copying where it is contiguous f32 on the CPU.
pub fn slice<R>(t: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let t = t.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = t.storage_and_layout();
    let Storage::Cpu(cpu) = &*storage else { return Err(Error::new("the kernels run on the CPU, this tensor is elsewhere")) };
    let all = cpu.as_slice::<f32>()?;
    Ok(f(&all[layout.start_offset()..layout.start_offset() + layout.shape().elem_count()]))
}

/// The tensor of these numbers.
pub fn tensor(x: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Ok(Tensor::from_vec(x, shape.into(), &Device::Cpu)?)
}

/// Runs `f` on a thread of the pool, where it is not on one already.
///
/// A parallel loop that is called from outside of the pool hands its work over and sleeps; a step of a small model has dozens of
/// them and lasts a millisecond. So whoever steps goes to the pool once a step.
pub fn on_the_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// The place of the greatest number, the first if there are several; none if one is not a number.
pub fn first_greatest(x: &[f32]) -> Option<usize> {
    let greatest = x.iter().enumerate().fold(0, |best, (i, v)| if *v > x[best] { i } else { best });
    x.iter().all(|v| !v.is_nan()).then_some(greatest)
}

/// Where tasks write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub *mut f32);
// SAFETY: tasks write disjoint parts
unsafe impl Sync for Shared {}
// SAFETY: as above
unsafe impl Send for Shared {}

impl Shared {
    /// The place `n` floats on.
    ///
    /// # Safety
    /// It lies in the same allocation.
    pub unsafe fn add(self, n: usize) -> Self {
        // SAFETY: the caller's promise
        Shared(unsafe { self.0.add(n) })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    /// Seeded numbers in −1..1.
    pub fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..n)
            .map(|_| {
                s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (s >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect()
    }
}
