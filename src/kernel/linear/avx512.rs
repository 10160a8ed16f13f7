//! AVX-512: a line of a panel is a register; f32, bf16 and int8 weights, with and without AVX-512-BF16 and VNNI.

use super::product::{Kernel, Operand, Product};
use super::tile::{BLOCK, Room, Unit, run};
use crate::kernel::precision::Precision;
use crate::kernel::simd::Isa;
use std::arch::x86_64::*;

/// The path's kernels: integers take what there is, their sums are the same; bf16 operands are a path of their own.
pub fn kernel(isa: Isa, precision: Precision) -> Kernel {
    match precision {
        Precision::F32 => Kernel { operand: Operand::F32, run: f32 },
        Precision::Bf16 if isa == Isa::Avx512 => Kernel { operand: Operand::F32, run: bf16 },
        Precision::Bf16 => Kernel { operand: Operand::Bf16, run: bf16_pairs },
        Precision::Int8 => Kernel { operand: Operand::Int8, run: if vnni_available() { int8_vnni } else { int8 } },
    }
}

/// Whether this machine has what [`f32()`], [`bf16()`] and [`int8()`] need.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Whether it has what [`bf16_pairs`] needs.
pub fn pairs_available() -> bool {
    available() && is_x86_feature_detected!("avx512bf16")
}

/// Whether it has what [`int8_vnni`] needs.
pub fn vnni_available() -> bool {
    available() && is_x86_feature_detected!("avx512vnni")
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
    f32, Single, "avx512f,avx512bw"
);
kernel!(
    /// bf16 weights, x f32: each weight is the f32 that it is; the bits of [`f32()`] over the same numbers.
    bf16, Widened, "avx512f,avx512bw"
);
kernel!(
    /// bf16 weights, x bf16, by `vdpbf16ps`: for each pair of inputs the second's product is added, then the first's, each fused;
    /// denormals count as zero and become zero, in operands and sums.
    bf16_pairs, Pairs, "avx512f,avx512bw,avx512bf16"
);
kernel!(
    /// int8 weights, x int8, exact, by widening to 16 bits.
    int8, Words, "avx512f,avx512bw"
);
kernel!(
    /// int8 weights, x int8, exact, by `vpdpbusd`, which takes x + 128; [`Product::sums`] undoes it.
    int8_vnni, Bytes, "avx512f,avx512bw,avx512vnni"
);

/// f32 by f32.
struct Single;
/// bf16 by f32: a line is its first inputs, shifted up, then its second, masked.
struct Widened;
/// bf16 by bf16, two at a time.
struct Pairs;
/// int8 by int8 as 16-bit words: a line is its inputs 0 and 2 of four, then 1 and 3.
struct Words;
/// int8 by int8 + 128.
struct Bytes;

/// What all five have in common: sums are a register of f32, or of i32 with the same bits.
macro_rules! common {
    (f32) => {
        type Sums = __m512;
        #[inline(always)]
        unsafe fn start(_: *const i32) -> __m512 {
            // SAFETY: AVX-512 is here, as the trait's caller promised
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: 16 numbers, unaligned
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m512, to: *mut f32) {
            // SAFETY: 16 numbers, unaligned
            unsafe { _mm512_storeu_ps(to, sums) }
        }
    };
    (i32) => {
        type Sums = __m512i;
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512i {
            // SAFETY: 16 numbers, unaligned
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        #[inline(always)]
        unsafe fn store(sums: __m512i, to: *mut f32) {
            // SAFETY: 16 numbers, unaligned
            unsafe { _mm512_storeu_si512(to.cast(), sums) }
        }
    };
}

impl Unit for Single {
    common!(f32);
    type Weights = __m512;
    type Operand = __m512;
    const BYTES: usize = 4;
    const PARTS: usize = 1;
    const TILE: usize = 24;
    #[inline(always)]
    unsafe fn weights(line: *const u8, _: usize) -> __m512 {
        // SAFETY: a line is 64 bytes, aligned
        unsafe { _mm512_load_ps(line.cast()) }
    }
    #[inline(always)]
    unsafe fn operand(x: *const u8, _: usize) -> __m512 {
        // SAFETY: one f32 of x
        unsafe { _mm512_set1_ps(x.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn step(sums: __m512, w: __m512, x: __m512) -> __m512 {
        // SAFETY: AVX-512 is here
        unsafe { _mm512_fmadd_ps(x, w, sums) }
    }
}

impl Unit for Widened {
    common!(f32);
    type Weights = __m512;
    type Operand = __m512;
    const BYTES: usize = 8;
    const PARTS: usize = 2;
    const TILE: usize = 24;
    #[inline(always)]
    unsafe fn weights(line: *const u8, part: usize) -> __m512 {
        // SAFETY: a line is 64 bytes, aligned; little endian: the first of two bf16 is the lower half
        unsafe {
            let pairs = _mm512_load_si512(line.cast());
            _mm512_castsi512_ps(match part {
                0 => _mm512_slli_epi32::<16>(pairs),
                _ => _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32)),
            })
        }
    }
    #[inline(always)]
    unsafe fn operand(x: *const u8, part: usize) -> __m512 {
        // SAFETY: two f32 of x
        unsafe { _mm512_set1_ps(x.cast::<f32>().add(part).read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn step(sums: __m512, w: __m512, x: __m512) -> __m512 {
        // SAFETY: AVX-512 is here
        unsafe { _mm512_fmadd_ps(x, w, sums) }
    }
}

/// Four bytes of x in every lane.
#[inline(always)]
unsafe fn four(x: *const u8) -> __m512i {
    // SAFETY: the caller gives four bytes, and AVX-512 is here
    unsafe { _mm512_set1_epi32(x.cast::<i32>().read_unaligned()) }
}

impl Unit for Pairs {
    common!(f32);
    type Weights = __m512i;
    type Operand = __m512i;
    const BYTES: usize = 4;
    const PARTS: usize = 1;
    const TILE: usize = 24;
    #[inline(always)]
    unsafe fn weights(line: *const u8, _: usize) -> __m512i {
        // SAFETY: a line is 64 bytes, aligned
        unsafe { _mm512_load_si512(line.cast()) }
    }
    #[inline(always)]
    unsafe fn operand(x: *const u8, _: usize) -> __m512i {
        // SAFETY: two bf16 of x
        unsafe { four(x) }
    }
    #[inline(always)]
    unsafe fn step(sums: __m512, w: __m512i, x: __m512i) -> __m512 {
        // SAFETY: AVX-512-BF16 is here; the casts are between registers of 64 plain bytes
        unsafe { _mm512_dpbf16_ps(sums, std::mem::transmute::<__m512i, __m512bh>(x), std::mem::transmute::<__m512i, __m512bh>(w)) }
    }
}

/// Bytes 0 and 2 of each four (`part` 0) or 1 and 3, as signed 16-bit words.
#[inline(always)]
unsafe fn words(bytes: __m512i, part: usize) -> __m512i {
    // SAFETY: AVX-512BW is here, as the caller promised
    unsafe {
        match part {
            0 => _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(bytes)),
            _ => _mm512_srai_epi16::<8>(bytes),
        }
    }
}

impl Unit for Words {
    common!(i32);
    type Weights = __m512i;
    type Operand = __m512i;
    const BYTES: usize = 4;
    const PARTS: usize = 2;
    const TILE: usize = 12;
    #[inline(always)]
    unsafe fn start(_: *const i32) -> __m512i {
        // SAFETY: AVX-512 is here
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn weights(line: *const u8, part: usize) -> __m512i {
        // SAFETY: a line is 64 bytes, aligned
        unsafe { words(_mm512_load_si512(line.cast()), part) }
    }
    #[inline(always)]
    unsafe fn operand(x: *const u8, part: usize) -> __m512i {
        // SAFETY: four i8 of x
        unsafe { words(four(x), part) }
    }
    #[inline(always)]
    unsafe fn step(sums: __m512i, w: __m512i, x: __m512i) -> __m512i {
        // SAFETY: AVX-512BW is here; two products of 127² and the sum of all fit an i32
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(x, w)) }
    }
}

impl Unit for Bytes {
    common!(i32);
    type Weights = __m512i;
    type Operand = __m512i;
    const BYTES: usize = 4;
    const PARTS: usize = 1;
    const TILE: usize = 24;
    /// −128 Σ w. Sums over x + 128 may leave an i32 on the way; they wrap, and the end, which fits, is exact modulo 2³².
    #[inline(always)]
    unsafe fn start(sums: *const i32) -> __m512i {
        // SAFETY: null or 16 numbers
        unsafe {
            if sums.is_null() {
                _mm512_setzero_si512()
            } else {
                _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32::<7>(_mm512_loadu_si512(sums.cast())))
            }
        }
    }
    #[inline(always)]
    unsafe fn weights(line: *const u8, _: usize) -> __m512i {
        // SAFETY: a line is 64 bytes, aligned
        unsafe { _mm512_load_si512(line.cast()) }
    }
    #[inline(always)]
    unsafe fn operand(x: *const u8, _: usize) -> __m512i {
        // SAFETY: four bytes of the staged row
        unsafe { four(x) }
    }
    #[inline(always)]
    unsafe fn step(sums: __m512i, w: __m512i, x: __m512i) -> __m512i {
        // SAFETY: VNNI is here
        unsafe { _mm512_dpbusd_epi32(sums, x, w) }
    }
    /// x + 128 as unsigned bytes: the top bit flipped. Done once a tile, not once a line.
    #[inline(always)]
    unsafe fn stage(room: &mut Room, x: *const u8, stride: usize, rows: usize, bytes: usize) -> (*const u8, usize) {
        const ROW: usize = BLOCK * 4;
        debug_assert!(bytes <= ROW && bytes.is_multiple_of(64), "whole AMX tiles of lines");
        let to = room.0.as_mut_ptr();
        for r in 0..rows {
            for i in (0..bytes).step_by(64) {
                // SAFETY: 64 bytes of row r, and of its place in the room: lines are a multiple of 16
                unsafe {
                    let piece = _mm512_loadu_si512(x.add(r * stride + i).cast());
                    _mm512_store_si512(to.add(r * ROW + i).cast(), _mm512_xor_si512(piece, _mm512_set1_epi8(-128)));
                }
            }
        }
        (to.cast(), ROW)
    }
}
