//! Eight f64 in registers, read from and written to slices of f32.

/// Eight f64 and what norms and softmax sums do with them.
pub trait Wide: Copy {
    /// All lanes `x`.
    ///
    /// # Safety
    /// This machine has the type's instruction set; so for all methods.
    unsafe fn splat(x: f64) -> Self;
    /// Reads 8 floats, unaligned.
    ///
    /// # Safety
    /// `p` points to at least 8 floats.
    unsafe fn load(p: *const f32) -> Self;
    /// Writes 8 floats, unaligned, each rounded to the nearest.
    ///
    /// # Safety
    /// `p` points to room for at least 8 floats.
    unsafe fn store(self, p: *mut f32);
    /// `self + b`.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn add(self, b: Self) -> Self;
    /// `self - b`.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn sub(self, b: Self) -> Self;
    /// `self * b`.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn mul(self, b: Self) -> Self;
    /// `self / b`.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn div(self, b: Self) -> Self;
    /// `self * b + c`.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// `if self > b { self } else { b }`: `b` where either is no number.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn max(self, b: Self) -> Self;
    /// `self · 2ⁿ` where the lowest twelve bits of `n` are n.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn shift_exponent(self, n: Self) -> Self;
    /// The lanes.
    ///
    /// # Safety
    /// As [`Wide::splat`].
    unsafe fn lanes(self) -> [f64; 8];
}

/// Plain f64.
#[derive(Clone, Copy)]
pub(super) struct Eight([f64; 8]);

impl Wide for Eight {
    #[inline(always)]
    unsafe fn splat(x: f64) -> Self {
        Eight([x; 8])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller gives 8 floats
        let x = unsafe { p.cast::<[f32; 8]>().read_unaligned() };
        Eight(std::array::from_fn(|i| f64::from(x[i])))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        let x: [f32; 8] = std::array::from_fn(|i| self.0[i] as f32);
        // SAFETY: the caller gives room for 8 floats
        unsafe { p.cast::<[f32; 8]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] * b.0[i]))
    }
    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        Eight(std::array::from_fn(|i| self.0[i] / b.0[i]))
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // as for Lanes: only where fusing is an instruction
        let one = |a: f64, b: f64, c: f64| if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c };
        Eight(std::array::from_fn(|i| one(self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        Eight(std::array::from_fn(|i| if self.0[i] > b.0[i] { self.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    unsafe fn shift_exponent(self, n: Self) -> Self {
        Eight(std::array::from_fn(|i| f64::from_bits(self.0[i].to_bits().wrapping_add(n.0[i].to_bits() << 52))))
    }
    #[inline(always)]
    unsafe fn lanes(self) -> [f64; 8] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Wide;
    use std::arch::x86_64::*;

    /// Two registers.
    #[derive(Clone, Copy)]
    pub struct Ymm(__m256d, __m256d);
    /// One register.
    #[derive(Clone, Copy)]
    pub struct Zmm(__m512d);

    /// A method that does the same to each register.
    macro_rules! each {
        ($name:ident, $of8:ident) => {
            #[inline(always)]
            unsafe fn $name(self, b: Self) -> Self {
                // SAFETY: the caller has checked the instruction set
                Zmm(unsafe { $of8(self.0, b.0) })
            }
        };
        ($name:ident, $of4:ident, $of4_again:ident) => {
            #[inline(always)]
            unsafe fn $name(self, b: Self) -> Self {
                // SAFETY: the caller has checked the instruction set
                unsafe { Ymm($of4(self.0, b.0), $of4_again(self.1, b.1)) }
            }
        };
    }

    #[inline(always)]
    unsafe fn shift4(a: __m256d, n: __m256d) -> __m256d {
        // SAFETY: the caller has checked the instruction set
        unsafe { _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a), _mm256_slli_epi64::<52>(_mm256_castpd_si256(n)))) }
    }

    #[inline(always)]
    unsafe fn shift8(a: __m512d, n: __m512d) -> __m512d {
        // SAFETY: the caller has checked the instruction set
        unsafe { _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), _mm512_slli_epi64::<52>(_mm512_castpd_si512(n)))) }
    }

    impl Wide for Ymm {
        #[inline(always)]
        unsafe fn splat(x: f64) -> Self {
            // SAFETY: the caller has checked the instruction set
            unsafe { Ymm(_mm256_set1_pd(x), _mm256_set1_pd(x)) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: as above; unaligned, 8 floats by contract
            unsafe { Ymm(_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p.add(4)))) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as above; unaligned, room for 8 floats by contract
            unsafe {
                _mm_storeu_ps(p, _mm256_cvtpd_ps(self.0));
                _mm_storeu_ps(p.add(4), _mm256_cvtpd_ps(self.1));
            }
        }
        each!(add, _mm256_add_pd, _mm256_add_pd);
        each!(sub, _mm256_sub_pd, _mm256_sub_pd);
        each!(mul, _mm256_mul_pd, _mm256_mul_pd);
        each!(div, _mm256_div_pd, _mm256_div_pd);
        each!(max, _mm256_max_pd, _mm256_max_pd);
        each!(shift_exponent, shift4, shift4);
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller has checked the instruction set
            unsafe { Ymm(_mm256_fmadd_pd(self.0, b.0, c.0), _mm256_fmadd_pd(self.1, b.1, c.1)) }
        }
        #[inline(always)]
        unsafe fn lanes(self) -> [f64; 8] {
            let mut out = [0.0; 8];
            // SAFETY: the caller has checked the instruction set; room for 8
            unsafe {
                _mm256_storeu_pd(out.as_mut_ptr(), self.0);
                _mm256_storeu_pd(out.as_mut_ptr().add(4), self.1);
            }
            out
        }
    }

    impl Wide for Zmm {
        #[inline(always)]
        unsafe fn splat(x: f64) -> Self {
            // SAFETY: the caller has checked the instruction set
            Zmm(unsafe { _mm512_set1_pd(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: as above; unaligned, 8 floats by contract
            Zmm(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(p)) })
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as above; unaligned, room for 8 floats by contract
            unsafe { _mm256_storeu_ps(p, _mm512_cvtpd_ps(self.0)) }
        }
        each!(add, _mm512_add_pd);
        each!(sub, _mm512_sub_pd);
        each!(mul, _mm512_mul_pd);
        each!(div, _mm512_div_pd);
        each!(max, _mm512_max_pd);
        each!(shift_exponent, shift8);
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller has checked the instruction set
            Zmm(unsafe { _mm512_fmadd_pd(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn lanes(self) -> [f64; 8] {
            let mut out = [0.0; 8];
            // SAFETY: the caller has checked the instruction set; room for 8
            unsafe { _mm512_storeu_pd(out.as_mut_ptr(), self.0) };
            out
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Ymm, Zmm};
