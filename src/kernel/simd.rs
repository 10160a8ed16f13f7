//! The vector units, found at run time: AVX-512, AVX2 with FMA, NEON, or plain loops.
//!
//! A kernel is written once over [`Lanes`] and compiled for each. All paths add in the same order; they differ only in
//! whether a product is rounded before it is added (`portable` on x86-64 has no fused multiply-add).

use std::sync::OnceLock;

/// The instruction set that the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 16 floats a register.
    Avx512,
    /// 8 floats a register, fused multiply-add.
    Avx2,
    /// Whatever the compiler makes of plain loops (NEON on ARM64).
    Portable,
}

impl Isa {
    /// The name that `EFFATTN_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Whether this machine has it.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    /// All of them, fastest first.
    pub const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];
}

/// The path of this process: the fastest there is, or what the environment variable `EFFATTN_ISA` names.
pub fn isa() -> Isa {
    static CHOICE: OnceLock<Isa> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let wanted = std::env::var("EFFATTN_ISA").unwrap_or_default();
        let named = Isa::ALL.into_iter().find(|i| i.name() == wanted && i.available());
        if named.is_none() && !wanted.is_empty() {
            eprintln!("warning: `EFFATTN_ISA={wanted}` names no path of this machine, using the fastest");
        }
        named.or_else(|| Isa::ALL.into_iter().find(|i| i.available())).unwrap_or(Isa::Portable)
    })
}

/// A register of floats and what the kernels do with it.
pub trait Lanes: Copy {
    /// Floats in it.
    const N: usize;

    /// All lanes `x`.
    ///
    /// # Safety
    /// This machine has the type's instruction set; so for all methods.
    unsafe fn splat(x: f32) -> Self;

    /// Reads `N` floats, unaligned.
    ///
    /// # Safety
    /// `p` points to at least `N` floats.
    unsafe fn load(p: *const f32) -> Self;

    /// Writes `N` floats, unaligned.
    ///
    /// # Safety
    /// `p` points to room for at least `N` floats.
    unsafe fn store(self, p: *mut f32);

    /// `self * b + c`.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
}

/// Plain floats, eight at a time.
#[derive(Clone, Copy)]
pub struct Plain([f32; 8]);

impl Lanes for Plain {
    const N: usize = 8;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Plain([x; 8])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller gives N floats
        Plain(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller gives room for N floats
        unsafe { p.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        let mut out = c.0;
        for (out, (a, b)) in out.iter_mut().zip(self.0.iter().zip(b.0)) {
            // ARM64 always fuses; plain x86-64 would call a slow library function
            *out = if cfg!(target_arch = "aarch64") { a.mul_add(b, *out) } else { a * b + *out };
        }
        Plain(out)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($name:ident, $reg:ty, $n:expr, $set:ident, $load:ident, $store:ident, $fma:ident) => {
            /// One register.
            #[derive(Clone, Copy)]
            pub struct $name($reg);
            impl Lanes for $name {
                const N: usize = $n;
                #[inline(always)]
                unsafe fn splat(x: f32) -> Self {
                    // SAFETY: the caller has checked the instruction set
                    Self(unsafe { $set(x) })
                }
                #[inline(always)]
                unsafe fn load(p: *const f32) -> Self {
                    // SAFETY: as above; unaligned, N floats by contract
                    Self(unsafe { $load(p) })
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut f32) {
                    // SAFETY: as above; unaligned, N floats by contract
                    unsafe { $store(p, self.0) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    // SAFETY: the caller has checked the instruction set
                    Self(unsafe { $fma(self.0, b.0, c.0) })
                }
            }
        };
    }
    lanes!(Ymm, __m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);
    lanes!(Zmm, __m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);
}
#[cfg(target_arch = "x86_64")]
pub use x86::{Ymm, Zmm};
