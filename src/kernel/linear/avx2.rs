//! Products on AVX2 with fused multiply-add: 16 registers of 8 floats.
//!
//! A line of a panel is two registers. One row takes four panels side by side (a core that reads a single run has too few cache lines
//! under way to use what memory gives), six rows take one: twelve sums at most, whatever the shape. Many rows pass a slab of a panel that
//! stays in the first-level cache ([`many`]); a bf16 slab is widened there once. Sums wait in the output between slabs, so the order of addition is
//! that of the inputs, cut or not.

use super::product::{Kernel, LINE, Operand, Product, WIDTH};
use crate::kernel::precision::Precision;
use std::arch::x86_64::*;

mod many;

/// The path's kernels.
pub fn kernel(precision: Precision) -> Kernel {
    match precision {
        Precision::F32 => Kernel { operand: Operand::F32, run: f32 },
        Precision::Bf16 => Kernel { operand: Operand::F32, run: bf16 },
        Precision::Int8 => Kernel { operand: Operand::Int8, run: int8 },
    }
}

/// Rows of a tile at most; more than these read a panel again, so that it passes in slabs.
const TALL: usize = 6;
/// Lines that a tile asks for ahead of time where it reads a single run: 4 KiB, the hardware stops at the end of a page.
const AHEAD: usize = 64;

/// A tile's share of a [`Product`].
#[derive(Clone, Copy)]
struct Part {
    x: *const u8,
    stride: usize,
    /// First line of the first panel.
    lines: *const u8,
    /// Bytes from one panel to the next.
    apart: usize,
    /// Lines to take.
    take: usize,
    out: *mut f32,
    out_stride: usize,
    /// Whether the sums so far lie in `out`.
    more: bool,
    /// What a tall tile asks for while it multiplies its first line, and how many bytes on with each further line.
    ahead: (*const u8, usize),
}

/// Whether this machine has what the kernels need.
#[cfg(test)]
pub fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// f32 weights, x f32.
///
/// # Safety
/// As [`Kernel::run`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn f32(p: &Product) {
    // SAFETY: handed on
    unsafe { floats::<F32>(p) }
}

/// bf16 weights, x f32: the bits of [`f32()`] over the same numbers.
///
/// # Safety
/// As [`Kernel::run`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn bf16(p: &Product) {
    // SAFETY: handed on
    unsafe { floats::<Bf16>(p) }
}

/// Weights that are multiplied as floats.
trait Weight {
    /// Inputs of a line.
    const K: usize;

    /// Input `i` of the line at `p` for eight outputs, the first or the second `half`.
    ///
    /// # Safety
    /// 64 bytes at `p`, aligned to 32.
    unsafe fn load(p: *const u8, half: usize, i: usize) -> __m256;
}

struct F32;
struct Bf16;

impl Weight for F32 {
    const K: usize = 1;
    #[inline(always)]
    unsafe fn load(p: *const u8, half: usize, _: usize) -> __m256 {
        // SAFETY: the caller's promise
        unsafe { _mm256_load_ps(p.cast::<f32>().add(8 * half)) }
    }
}

impl Weight for Bf16 {
    const K: usize = 2;
    #[inline(always)]
    unsafe fn load(p: *const u8, half: usize, i: usize) -> __m256 {
        // SAFETY: the caller's promise
        unsafe {
            let both = _mm256_load_si256(p.cast::<__m256i>().add(half));
            _mm256_castsi256_ps(if i == 0 { _mm256_slli_epi32(both, 16) } else { _mm256_and_si256(both, _mm256_set1_epi32(-0x1_0000)) })
        }
    }
}

#[inline(always)]
unsafe fn floats<W: Weight>(p: &Product) {
    let whole = Part::new(p);
    // SAFETY: `p.rows` rows and `p.count` panels, as the caller promised
    unsafe {
        match p.rows {
            0 => {}
            1 => abreast::<W, 1, 4>(whole, p.count),
            2 => abreast::<W, 2, 3>(whole, p.count),
            3 if W::K == 1 => abreast::<W, 3, 2>(whole, p.count),
            n @ 3..=TALL => (0..p.count).for_each(|c| rows::<W>(whole.panel(c), n)),
            _ => many::many::<W>(p),
        }
    }
}

impl Part {
    /// All of it.
    fn new(p: &Product) -> Self {
        let &Product { x, stride, panels, lines, out, out_stride, .. } = p;
        let ahead = (panels.wrapping_add(AHEAD * LINE), LINE);
        Part { x, stride, lines: panels, apart: lines * LINE, take: lines, out, out_stride, more: false, ahead }
    }

    /// From panel `c` on.
    #[inline(always)]
    unsafe fn panel(self, c: usize) -> Self {
        // SAFETY: the caller has that many panels
        unsafe { Part { lines: self.lines.add(c * self.apart), out: self.out.add(c * WIDTH), ..self } }
    }

    /// What tile `t` of several asks for: the first, which finds the lines in memory, those just ahead of it; the others, which find them in the cache,
    /// a share each of as many lines behind these, so that memory is never idle while they multiply.
    #[inline(always)]
    fn wanted(&self, t: usize, tiles: usize) -> (*const u8, usize) {
        if t == 0 {
            return (self.lines.wrapping_add(AHEAD * LINE), LINE);
        }
        let pace = LINE / (tiles - 1);
        (self.lines.wrapping_add(self.take * (LINE + (t - 1) * pace)), pace)
    }

    /// From row `r` on.
    #[inline(always)]
    unsafe fn row(self, r: usize) -> Self {
        // SAFETY: the caller has that many rows
        unsafe { Part { x: self.x.add(r * self.stride), out: self.out.add(r * self.out_stride), ..self } }
    }
}

/// R rows, `count` panels, G of them side by side as far as they go.
#[inline(always)]
unsafe fn abreast<W: Weight, const R: usize, const G: usize>(p: Part, count: usize) {
    let whole = count - count % G;
    // SAFETY: panels below `count`
    unsafe {
        for c in (0..whole).step_by(G) {
            tile::<W, R, G>(p.panel(c));
        }
        match count - whole {
            0 => 0,
            1 => tile::<W, R, 1>(p.panel(whole)),
            n if n == 2 || G < 4 => tile::<W, R, 2>(p.panel(whole)),
            _ => tile::<W, R, 3>(p.panel(whole)),
        };
    }
}

/// `n` rows and one panel, up to six rows at a time: as many tiles as that takes, none much taller than the others, as a short one waits
/// for its sums.
#[inline(always)]
unsafe fn rows<W: Weight>(p: Part, n: usize) {
    let tiles = n.div_ceil(TALL);
    let (mut r, mut t) = (0, 0);
    while r < n {
        // SAFETY: rows below `n`
        unsafe {
            let part = Part { ahead: p.wanted(t, tiles), ..p.row(r) };
            t += 1;
            r += match (n - r).div_ceil((n - r).div_ceil(TALL)) {
                1 => tile::<W, 1, 1>(part),
                2 => tile::<W, 2, 1>(part),
                3 => tile::<W, 3, 1>(part),
                4 => tile::<W, 4, 1>(part),
                5 => tile::<W, 5, 1>(part),
                _ => tile::<W, TALL, 1>(part),
            }
        }
    }
}

/// R rows times G panels; returns R.
#[inline(always)]
unsafe fn tile<W: Weight, const R: usize, const G: usize>(p: Part) -> usize {
    // SAFETY: R rows, G panels of `take` lines, as the caller promised
    unsafe {
        let mut sums = [[[_mm256_setzero_ps(); 2]; G]; R];
        let place = |r: usize, g: usize, half: usize| p.out.add(r * p.out_stride + g * WIDTH + 8 * half);
        if p.more {
            each::<R, G>(|r, g, half| sums[r][g][half] = _mm256_loadu_ps(place(r, g, half)));
        }
        let x = p.x.cast::<f32>();
        let stride = p.stride / size_of::<f32>();
        for i in 0..p.take {
            for j in 0..W::K {
                let x = |r: usize| _mm256_broadcast_ss(&*x.add(r * stride + i * W::K + j));
                let w = |g: usize, half: usize| W::load(p.lines.add(g * p.apart + i * LINE), half, j);
                if G == 1 {
                    if R > 2 && j == 0 {
                        _mm_prefetch::<_MM_HINT_T0>(p.ahead.0.wrapping_add(i * p.ahead.1).cast());
                    }
                    let w = [w(0, 0), w(0, 1)];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = x(r);
                        sums[0] = [0, 1].map(|half| _mm256_fmadd_ps(x, w[half], sums[0][half]));
                    }
                } else {
                    let mut xs = [_mm256_setzero_ps(); R];
                    xs.iter_mut().enumerate().for_each(|(r, out)| *out = x(r));
                    for g in 0..G {
                        for half in 0..2 {
                            let w = w(g, half);
                            for (sums, x) in sums.iter_mut().zip(xs) {
                                sums[g][half] = _mm256_fmadd_ps(x, w, sums[g][half]);
                            }
                        }
                    }
                }
            }
        }
        each::<R, G>(|r, g, half| _mm256_storeu_ps(place(r, g, half), sums[r][g][half]));
    }
    R
}

#[inline(always)]
fn each<const R: usize, const G: usize>(mut f: impl FnMut(usize, usize, usize)) {
    for r in 0..R {
        for g in 0..G {
            f(r, g, 0);
            f(r, g, 1);
        }
    }
}

/// int8 weights, x int8, exact.
///
/// # Safety
/// As [`Kernel::run`].
#[target_feature(enable = "avx2,fma")]
pub unsafe fn int8(p: &Product) {
    let whole = Part::new(p);
    let (fours, twos) = (p.count / 4 * 4, p.count / 2 * 2);
    // SAFETY: `p.rows` rows and `p.count` panels, as the caller promised
    unsafe {
        match p.rows {
            0 => {}
            1 => {
                (0..fours).step_by(4).for_each(|c| int8_tile::<1, 4>(whole.panel(c)));
                (fours..p.count).for_each(|c| int8_tile::<1, 1>(whole.panel(c)));
            }
            2 => {
                (0..twos).step_by(2).for_each(|c| int8_tile::<2, 2>(whole.panel(c)));
                (twos..p.count).for_each(|c| int8_tile::<2, 1>(whole.panel(c)));
            }
            n => (0..p.count).for_each(|c| int8_rows(whole.panel(c), n)),
        }
    }
}

/// `n` rows and one panel, four rows at a time.
#[inline(always)]
unsafe fn int8_rows(p: Part, n: usize) {
    for r in (0..n).step_by(4) {
        // SAFETY: rows below `n`
        unsafe {
            let part = p.row(r);
            match n - r {
                1 => int8_tile::<1, 1>(part),
                2 => int8_tile::<2, 1>(part),
                3 => int8_tile::<3, 1>(part),
                _ => int8_tile::<4, 1>(part),
            }
        }
    }
}

/// R rows times G panels; integers add up exactly, in any order.
///
/// |w| · (x with the sign of w) is x · w; both factors lie within ±127, so that two products fit the 16 bits of `vpmaddubsw`: 2 · 127² = 32,258.
#[inline(always)]
unsafe fn int8_tile<const R: usize, const G: usize>(p: Part) {
    // SAFETY: R rows, G panels of `take` lines, as the caller promised
    unsafe {
        let mut sums = [[[_mm256_setzero_si256(); 2]; G]; R];
        let ones = _mm256_set1_epi16(1);
        for i in 0..p.take {
            if R * G > 2 && G == 1 {
                _mm_prefetch::<_MM_HINT_T0>(p.lines.wrapping_add((i + AHEAD) * LINE).cast());
            }
            for g in 0..G {
                for half in 0..2 {
                    let w = _mm256_load_si256(p.lines.add(g * p.apart + i * LINE).cast::<__m256i>().add(half));
                    let size = _mm256_abs_epi8(w);
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = _mm256_set1_epi32(p.x.add(r * p.stride).cast::<i32>().add(i).read_unaligned());
                        let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, w));
                        sums[g][half] = _mm256_add_epi32(sums[g][half], _mm256_madd_epi16(pairs, ones));
                    }
                }
            }
        }
        each::<R, G>(|r, g, half| {
            _mm256_storeu_si256(p.out.add(r * p.out_stride + g * WIDTH + 8 * half).cast(), sums[r][g][half]);
        });
    }
}
