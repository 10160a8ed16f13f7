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

    // attention

    /// `self + b`.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn add(self, b: Self) -> Self;

    /// `self - b`.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn sub(self, b: Self) -> Self;

    /// `self * b`.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn mul(self, b: Self) -> Self;

    /// `self` where it is above `b`, else `b`: also where one of them is NaN.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn above(self, b: Self) -> Self;

    /// 2ⁿ where the lane holds 1.5 · 2²³ + n, for whole n in −126..=127.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn power_of_two(self) -> Self;

    /// 0 where `x` is below `limit`, else `self`.
    ///
    /// # Safety
    /// As [`Lanes::splat`].
    unsafe fn zero_below(self, x: Self, limit: Self) -> Self;

    /// Reads `N` bf16 numbers, unaligned: upper halves of floats.
    ///
    /// # Safety
    /// `p` points to at least `N` of them.
    unsafe fn load_bf16(p: *const u16) -> Self;

    // end of attention
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

    // attention
    #[inline(always)]
    unsafe fn add(mut self, b: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(b.0) {
            *a += b;
        }
        self
    }
    #[inline(always)]
    unsafe fn sub(mut self, b: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(b.0) {
            *a -= b;
        }
        self
    }
    #[inline(always)]
    unsafe fn mul(mut self, b: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(b.0) {
            *a *= b;
        }
        self
    }
    #[inline(always)]
    unsafe fn above(mut self, b: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(b.0) {
            *a = if *a > b { *a } else { b };
        }
        self
    }
    #[inline(always)]
    unsafe fn power_of_two(mut self) -> Self {
        for a in &mut self.0 {
            *a = f32::from_bits((a.to_bits() << 23).wrapping_add(1f32.to_bits()));
        }
        self
    }
    #[inline(always)]
    unsafe fn zero_below(mut self, x: Self, limit: Self) -> Self {
        for (a, (x, limit)) in self.0.iter_mut().zip(x.0.iter().zip(limit.0)) {
            *a = if *x < limit { 0.0 } else { *a };
        }
        self
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: the caller gives N numbers
        let halves = unsafe { p.cast::<[u16; 8]>().read_unaligned() };
        Plain(halves.map(|h| f32::from_bits(u32::from(h) << 16)))
    }
    // end of attention
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($name:ident, $reg:ty, $n:expr, $set:ident, $load:ident, $store:ident, $fma:ident,
         $add:ident, $sub:ident, $mul:ident, $max:ident, $power:ident, $zero:ident, $bf16:ident) => {
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

                // attention
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    // SAFETY: the caller has checked the instruction set
                    Self(unsafe { $add(self.0, b.0) })
                }
                #[inline(always)]
                unsafe fn sub(self, b: Self) -> Self {
                    // SAFETY: as above
                    Self(unsafe { $sub(self.0, b.0) })
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    // SAFETY: as above
                    Self(unsafe { $mul(self.0, b.0) })
                }
                #[inline(always)]
                unsafe fn above(self, b: Self) -> Self {
                    // SAFETY: as above
                    Self(unsafe { $max(self.0, b.0) })
                }
                #[inline(always)]
                unsafe fn power_of_two(self) -> Self {
                    // SAFETY: as above
                    Self(unsafe { $power(self.0) })
                }
                #[inline(always)]
                unsafe fn zero_below(self, x: Self, limit: Self) -> Self {
                    // SAFETY: as above
                    Self(unsafe { $zero(self.0, x.0, limit.0) })
                }
                #[inline(always)]
                unsafe fn load_bf16(p: *const u16) -> Self {
                    // SAFETY: as above; unaligned, N numbers by contract
                    Self(unsafe { $bf16(p) })
                }
                // end of attention
            }
        };
    }
    #[rustfmt::skip]
    lanes!(Ymm, __m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps,
        _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_max_ps, power_of_two_256, zero_below_256, load_bf16_256);
    #[rustfmt::skip]
    lanes!(Zmm, __m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
        _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_max_ps, power_of_two_512, zero_below_512, load_bf16_512);

    // attention: what takes several instructions

    #[inline(always)]
    unsafe fn power_of_two_256(t: __m256) -> __m256 {
        // SAFETY: the caller has checked the instruction set; so below
        unsafe { _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(t)), _mm256_set1_epi32(0x3F80_0000))) }
    }
    #[inline(always)]
    unsafe fn power_of_two_512(t: __m512) -> __m512 {
        // SAFETY: as above
        unsafe { _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32::<23>(_mm512_castps_si512(t)), _mm512_set1_epi32(0x3F80_0000))) }
    }
    #[inline(always)]
    unsafe fn zero_below_256(a: __m256, x: __m256, limit: __m256) -> __m256 {
        // SAFETY: as above
        unsafe { _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, limit), a) }
    }
    #[inline(always)]
    unsafe fn zero_below_512(a: __m512, x: __m512, limit: __m512) -> __m512 {
        // SAFETY: as above; not below, so that NaN keeps `a`
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, limit), a) }
    }
    #[inline(always)]
    unsafe fn load_bf16_256(p: *const u16) -> __m256 {
        // SAFETY: as above; 16 bytes by contract
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast())))) }
    }
    #[inline(always)]
    unsafe fn load_bf16_512(p: *const u16) -> __m512 {
        // SAFETY: as above; 32 bytes by contract
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast())))) }
    }

    // end of attention
}
#[cfg(target_arch = "x86_64")]
pub use x86::{Ymm, Zmm};
