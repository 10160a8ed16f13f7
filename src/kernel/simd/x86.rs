//! Registers of AVX2 and AVX-512.

use super::Lanes;
use std::arch::x86_64::*;

macro_rules! lanes {
    ($name:ident, $reg:ty, $n:expr, $set:ident, $load:ident, $bf16:ident, $i8:ident, $store:ident, $fma:ident,
          $add:ident, $sub:ident, $mul:ident, $div:ident, $max:ident, $min:ident, $fms:ident, $above:expr, $shift:expr) => {
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
            unsafe fn load_bf16(p: *const u16) -> Self {
                // SAFETY: as above; unaligned, N numbers by contract
                Self(unsafe { $bf16(p) })
            }
            #[inline(always)]
            unsafe fn load_i8(p: *const i8) -> Self {
                // SAFETY: as above; N bytes by contract
                Self(unsafe { $i8(p) })
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

            // elementwise; SAFETY of all: the caller has checked the instruction set

            #[inline(always)]
            unsafe fn add(self, b: Self) -> Self {
                // SAFETY: as above
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
            unsafe fn div(self, b: Self) -> Self {
                // SAFETY: as above
                Self(unsafe { $div(self.0, b.0) })
            }
            #[inline(always)]
            unsafe fn max(self, b: Self) -> Self {
                // SAFETY: as above
                Self(unsafe { $max(self.0, b.0) })
            }
            #[inline(always)]
            unsafe fn min(self, b: Self) -> Self {
                // SAFETY: as above
                Self(unsafe { $min(self.0, b.0) })
            }
            #[inline(always)]
            unsafe fn if_above(self, b: Self, yes: Self, no: Self) -> Self {
                // SAFETY: as above
                Self(unsafe { $above(self.0, b.0, yes.0, no.0) })
            }
            #[inline(always)]
            unsafe fn shift_exponent(self, n: Self) -> Self {
                // SAFETY: as above
                Self(unsafe { $shift(self.0, n.0) })
            }
            #[inline(always)]
            unsafe fn exact_product(self, b: Self) -> (Self, Self) {
                // SAFETY: as above
                unsafe {
                    let high = $mul(self.0, b.0);
                    (Self(high), Self($fms(self.0, b.0, high)))
                }
            }
        }
    };
}
#[inline(always)]
unsafe fn above8(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
    // SAFETY: the caller has checked the instruction set
    unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
}
#[inline(always)]
unsafe fn above16(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
    // SAFETY: the caller has checked the instruction set
    unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes) }
}
#[inline(always)]
unsafe fn shift8(a: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller has checked the instruction set
    unsafe { _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32::<23>(_mm256_castps_si256(n)))) }
}
#[inline(always)]
unsafe fn shift16(a: __m512, n: __m512) -> __m512 {
    // SAFETY: the caller has checked the instruction set
    unsafe { _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32::<23>(_mm512_castps_si512(n)))) }
}

#[inline(always)]
unsafe fn load_bf16_256(p: *const u16) -> __m256 {
    // SAFETY: the caller has checked the instruction set; 16 bytes by contract
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast())))) }
}
#[inline(always)]
unsafe fn load_bf16_512(p: *const u16) -> __m512 {
    // SAFETY: as above; 32 bytes by contract
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast())))) }
}

#[inline(always)]
unsafe fn load_i8_256(p: *const i8) -> __m256 {
    // SAFETY: as above; 8 bytes by contract
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
}
#[inline(always)]
unsafe fn load_i8_512(p: *const i8) -> __m512 {
    // SAFETY: as above; 16 bytes by contract
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))) }
}

lanes!(
    Ymm,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    load_bf16_256,
    load_i8_256,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_max_ps,
    _mm256_min_ps,
    _mm256_fmsub_ps,
    above8,
    shift8
);
lanes!(
    Zmm,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    load_bf16_512,
    load_i8_512,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_max_ps,
    _mm512_min_ps,
    _mm512_fmsub_ps,
    above16,
    shift16
);
