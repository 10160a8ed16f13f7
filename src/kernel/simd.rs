//! The vector units, found at run time: AVX-512, AVX2 with FMA, NEON, or plain loops.
//!
//! A kernel is written once over [`Lanes`] and compiled for each. All paths add in the same order; they differ only in
//! whether a product is rounded before it is added (`portable` on x86-64 has no fused multiply-add).

use std::sync::OnceLock;

/// The instruction set that the kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512, and tiles of 16 × 16 for bf16 and int8 products.
    Amx,
    /// AVX-512, and products of bf16 pairs.
    Avx512Bf16,
    /// 16 floats a register; byte products (VNNI) where there are some.
    Avx512,
    /// 8 floats a register, fused multiply-add.
    Avx2,
    /// ARM64; byte products where there are some.
    Neon,
    /// Whatever the compiler makes of plain loops.
    Portable,
}

impl Isa {
    /// The name that `EFFATTN_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Amx => "amx",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Whether this machine has it.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512.available() && super::linear::amx::available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.available() && super::linear::avx512::pairs_available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => super::linear::avx512::available() && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Amx | Isa::Avx512Bf16 | Isa::Avx512 | Isa::Avx2 => false,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            Isa::Portable => true,
        }
    }

    /// All of them, fastest first.
    pub const ALL: [Isa; 6] = [Isa::Amx, Isa::Avx512Bf16, Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// The registers that loops over single numbers use on this path: `Avx512`, `Avx2` or `Portable`.
    pub fn lanes(self) -> Self {
        match self {
            Isa::Amx | Isa::Avx512Bf16 | Isa::Avx512 => Isa::Avx512,
            Isa::Avx2 => Isa::Avx2,
            Isa::Neon | Isa::Portable => Isa::Portable,
        }
    }
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

    /// Reads `N` bf16 numbers, the upper halves of floats, unaligned.
    ///
    /// # Safety
    /// `p` points to at least `N` of them.
    unsafe fn load_bf16(p: *const u16) -> Self;

    /// Reads `N` signed bytes as floats.
    ///
    /// # Safety
    /// `p` points to at least `N` of them.
    unsafe fn load_i8(p: *const i8) -> Self;

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

    /// `self + b`.
    ///
    /// # Safety
    /// As [`Lanes::splat`]; so for all below.
    unsafe fn add(self, b: Self) -> Self;

    /// `self - b`.
    ///
    /// # Safety
    /// As above.
    unsafe fn sub(self, b: Self) -> Self;

    /// `self * b`.
    ///
    /// # Safety
    /// As above.
    unsafe fn mul(self, b: Self) -> Self;

    /// `self / b`.
    ///
    /// # Safety
    /// As above.
    unsafe fn div(self, b: Self) -> Self;

    /// `if self > b { self } else { b }`: `b` where either is no number.
    ///
    /// # Safety
    /// As above.
    unsafe fn max(self, b: Self) -> Self;

    /// `if self < b { self } else { b }`: `b` where either is no number.
    ///
    /// # Safety
    /// As above.
    unsafe fn min(self, b: Self) -> Self;

    /// `if self > b { yes } else { no }`.
    ///
    /// # Safety
    /// As above.
    unsafe fn if_above(self, b: Self, yes: Self, no: Self) -> Self;

    /// `self · 2ⁿ` where the lowest nine bits of `n` are n: adds them to the exponent, whether or not it has room.
    ///
    /// # Safety
    /// As above.
    unsafe fn shift_exponent(self, n: Self) -> Self;

    /// h and l with h + l = `self * b` exactly, h the rounded product, where neither is too large or too small for an f32.
    ///
    /// # Safety
    /// As above.
    unsafe fn exact_product(self, b: Self) -> (Self, Self);
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
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: the caller gives N numbers
        let halves = unsafe { p.cast::<[u16; 8]>().read_unaligned() };
        Plain(halves.map(|h| f32::from_bits(u32::from(h) << 16)))
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> Self {
        // SAFETY: the caller gives N bytes
        Plain(unsafe { p.cast::<[i8; 8]>().read() }.map(f32::from))
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

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] * b.0[i]))
    }
    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] / b.0[i]))
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| if self.0[i] > b.0[i] { self.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| if self.0[i] < b.0[i] { self.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    unsafe fn if_above(self, b: Self, yes: Self, no: Self) -> Self {
        Plain(std::array::from_fn(|i| if self.0[i] > b.0[i] { yes.0[i] } else { no.0[i] }))
    }
    #[inline(always)]
    unsafe fn shift_exponent(self, n: Self) -> Self {
        Plain(std::array::from_fn(|i| f32::from_bits(self.0[i].to_bits().wrapping_add(n.0[i].to_bits() << 23))))
    }
    #[inline(always)]
    unsafe fn exact_product(self, b: Self) -> (Self, Self) {
        // 48 bits of product fit an f64
        let exact: [f64; 8] = std::array::from_fn(|i| f64::from(self.0[i]) * f64::from(b.0[i]));
        let high: [f32; 8] = std::array::from_fn(|i| exact[i] as f32);
        (Plain(high), Plain(std::array::from_fn(|i| (exact[i] - f64::from(high[i])) as f32)))
    }
}

/// Asks for the cache line at `p`, which may be anywhere: a wish, and none where the machine's language has no word for it.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, which reads nothing that a program could see
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Ymm, Zmm};
