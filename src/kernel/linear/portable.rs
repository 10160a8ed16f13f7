//! Products in plain loops: what runs where nothing better does, and what the other paths are compared with.

use super::product::{Kernel, LINE, Operand, Product, WIDTH, inputs};
use crate::kernel::precision::Precision;

/// Plain loops over `precision`.
pub fn kernel(precision: Precision) -> Kernel {
    match precision {
        Precision::F32 => Kernel { operand: Operand::F32, run: f32 },
        Precision::Bf16 => Kernel { operand: Operand::F32, run: bf16 },
        Precision::Int8 => Kernel { operand: Operand::Int8, run: int8 },
    }
}

/// f32 weights, x f32.
///
/// # Safety
/// As [`Kernel::run`].
pub unsafe fn f32(p: &Product) {
    // SAFETY: handed on
    unsafe { floats::<F32>(p) }
}

/// bf16 weights, x f32.
///
/// # Safety
/// As [`Kernel::run`].
pub unsafe fn bf16(p: &Product) {
    // SAFETY: handed on
    unsafe { floats::<Bf16>(p) }
}

/// How weights become floats.
trait Weight {
    const PRECISION: Precision;

    /// # Safety
    /// `p` points to a weight.
    unsafe fn read(p: *const u8) -> f32;
}

struct F32;
struct Bf16;

impl Weight for F32 {
    const PRECISION: Precision = Precision::F32;
    #[inline(always)]
    unsafe fn read(p: *const u8) -> f32 {
        // SAFETY: the caller's promise; lines are aligned
        unsafe { *p.cast() }
    }
}

impl Weight for Bf16 {
    const PRECISION: Precision = Precision::Bf16;
    #[inline(always)]
    unsafe fn read(p: *const u8) -> f32 {
        // SAFETY: as above
        half::bf16::to_f32(unsafe { *p.cast() })
    }
}

/// # Safety
/// As [`Kernel::run`].
unsafe fn floats<W: Weight>(p: &Product) {
    let k = inputs(W::PRECISION);
    for (r, panel) in (0..p.rows).flat_map(|r| (0..p.count).map(move |c| (r, c))) {
        let mut sums = [0.0f32; WIDTH];
        for i in 0..p.lines * k {
            // SAFETY: input i of row r; weights of line i / k of the panel
            unsafe {
                let x = *p.x.add(r * p.stride).cast::<f32>().add(i);
                let line = p.panels.add((panel * p.lines + i / k) * LINE);
                for (o, sum) in sums.iter_mut().enumerate() {
                    let w = W::read(line.add((o * k + i % k) * W::PRECISION.bytes()));
                    // ARM64 always fuses; plain x86-64 would call a slow library function
                    *sum = if cfg!(target_arch = "aarch64") { x.mul_add(w, *sum) } else { x * w + *sum };
                }
            }
        }
        // SAFETY: the place of this row and panel
        unsafe { p.out.add(r * p.out_stride + panel * WIDTH).cast::<[f32; WIDTH]>().write_unaligned(sums) };
    }
}

/// int8 weights, x int8, exact.
///
/// # Safety
/// As [`Kernel::run`].
pub unsafe fn int8(p: &Product) {
    for (r, panel) in (0..p.rows).flat_map(|r| (0..p.count).map(move |c| (r, c))) {
        let mut sums = [0i32; WIDTH];
        for i in 0..p.lines {
            // SAFETY: four inputs of row r, line i of the panel
            let (x, w) = unsafe {
                let line = p.panels.add((panel * p.lines + i) * LINE);
                (*p.x.add(r * p.stride + 4 * i).cast::<[i8; 4]>(), *line.cast::<[[i8; 4]; WIDTH]>())
            };
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum += (0..4).map(|j| i32::from(x[j]) * i32::from(w[j])).sum::<i32>();
            }
        }
        // SAFETY: the place of this row and panel
        unsafe { p.out.add(r * p.out_stride + panel * WIDTH).cast::<[i32; WIDTH]>().write_unaligned(sums) };
    }
}
