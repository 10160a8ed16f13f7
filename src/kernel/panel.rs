//! The one product that everything is made of: a few rows against a panel of [`WIDTH`] columns.
//!
//! A panel holds k lines of `WIDTH` floats; the product is out(r, j) += Σ_i x(r, i) · panel(i, j), added in the order
//! of i, whatever the number of rows. So an output never depends on which rows were computed beside it: the same document gives
//! the same bits for any batch size, chunking and number of threads.

use super::simd::{Isa, Lanes, Plain};

/// Columns of a panel.
pub const WIDTH: usize = 32;
/// Rows of one call at most (registers: `ROWS × WIDTH` accumulators).
pub const ROWS: usize = 6;

/// `rows` rows x(r, ..k), `stride` floats apart, times one panel, added to out(r, ..`WIDTH`), `out_stride` floats apart.
pub struct Product {
    /// First row of x.
    pub x: *const f32,
    /// Floats from one row of x to the next.
    pub stride: usize,
    /// Rows, at most [`ROWS`].
    pub rows: usize,
    /// Length of the sum.
    pub k: usize,
    /// k lines of [`WIDTH`] floats.
    pub panel: *const f32,
    /// First row of the output.
    pub out: *mut f32,
    /// Floats from one row of the output to the next.
    pub out_stride: usize,
}

/// Runs a [`Product`] on the path `isa`.
///
/// # Safety
/// The pointers are valid for what the fields say, `out` overlaps nothing, `isa` is available.
#[inline]
pub unsafe fn product(isa: Isa, p: &Product) {
    // SAFETY: handed on
    unsafe {
        match isa.lanes() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(p),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(p),
            _ => rows::<Plain, 4>(p),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn avx512(p: &Product) {
    // SAFETY: handed on
    unsafe { rows::<super::simd::Zmm, 2>(p) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(p: &Product) {
    // SAFETY: handed on
    unsafe { rows::<super::simd::Ymm, 4>(p) }
}

/// Splits the rows so that the accumulators fit the registers: 12 of them, whatever the width of a register.
#[inline(always)]
unsafe fn rows<L: Lanes, const P: usize>(p: &Product) {
    let mut r = 0;
    while r < p.rows {
        let left = p.rows - r;
        // SAFETY: rows r.. of what the caller promised
        unsafe {
            let part = Product { x: p.x.add(r * p.stride), out: p.out.add(r * p.out_stride), ..*p };
            r += match (left, P) {
                (6.., 2) => tile::<L, P, 6>(&part),
                (5, 2) => tile::<L, P, 5>(&part),
                (4, 2) => tile::<L, P, 4>(&part),
                (3.., _) => tile::<L, P, 3>(&part),
                (2, _) => tile::<L, P, 2>(&part),
                _ => tile::<L, P, 1>(&part),
            };
        }
    }
}

/// R rows with `R × P` accumulators; returns R.
#[inline(always)]
unsafe fn tile<L: Lanes, const P: usize, const R: usize>(p: &Product) -> usize {
    debug_assert_eq!(L::N * P, WIDTH);
    // SAFETY: R rows and P registers a line, as the caller promised
    unsafe {
        let mut acc = [[L::splat(0.0); P]; R];
        for (r, row) in acc.iter_mut().enumerate() {
            for (c, a) in row.iter_mut().enumerate() {
                *a = L::load(p.out.add(r * p.out_stride + c * L::N));
            }
        }
        let mut line = p.panel;
        for i in 0..p.k {
            let mut w = [L::splat(0.0); P];
            for (c, w) in w.iter_mut().enumerate() {
                *w = L::load(line.add(c * L::N));
            }
            for (r, row) in acc.iter_mut().enumerate() {
                let x = L::splat(*p.x.add(r * p.stride + i));
                for (a, w) in row.iter_mut().zip(w) {
                    *a = x.mul_add(w, *a);
                }
            }
            line = line.add(WIDTH);
        }
        for (r, row) in acc.iter().enumerate() {
            for (c, a) in row.iter().enumerate() {
                a.store(p.out.add(r * p.out_stride + c * L::N));
            }
        }
    }
    R
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::noise;

    #[test]
    fn every_path_of_this_machine_equals_the_definition() {
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for rows in 1..=ROWS {
                for k in [0, 1, 5, 64] {
                    let (x, panel) = (noise(rows * (k + 2), 1), noise(k * WIDTH, 2));
                    let mut out = vec![0.5f32; rows * WIDTH];
                    // SAFETY: sizes as stated, the path is available
                    unsafe {
                        product(
                            isa,
                            &Product {
                                x: x.as_ptr(),
                                stride: k + 2,
                                rows,
                                k,
                                panel: panel.as_ptr(),
                                out: out.as_mut_ptr(),
                                out_stride: WIDTH,
                            },
                        );
                    }
                    for (at, got) in out.iter().enumerate() {
                        let (r, j) = (at / WIDTH, at % WIDTH);
                        let want: f64 = 0.5 + (0..k).map(|i| f64::from(x[r * (k + 2) + i]) * f64::from(panel[i * WIDTH + j])).sum::<f64>();
                        assert!((f64::from(*got) - want).abs() < 1e-5, "{} {rows} {k}: {got} {want}", isa.name());
                    }
                }
            }
        }
    }
}
