//! Many rows on AVX2: slabs of a panel that stay in the first-level cache while the rows pass.
//!
//! From [`DEEP`] rows on, what belongs to a slab of every row is laid out first, and panel after panel takes it: rows come from the
//! second-level cache however long they are, and those of a tile never fall onto the same lines of the first, as rows do that are a
//! multiple of 4 KiB apart. No order of addition changes.

use super::super::product::{LINE, Product, WIDTH};
use super::{F32, Part, TALL, Weight, rows};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Bytes of a slab as it is multiplied: half of a first-level cache of 32 KiB.
const SLAB: usize = 16 << 10;
/// Rows from which slabs are widened: fewer do not pay for it.
const MANY: usize = 32;
/// Rows from which a slab's inputs are laid out first, and how many of them at most: 96 KiB of a second-level cache.
const DEEP: (usize, usize) = (64, 96);
/// Panels that share what was laid out: what they and the rows make waits in the second-level cache between slabs.
const SHARING: usize = 32;
/// Inputs of a slab.
const STRIP: usize = SLAB / LINE;

/// The inputs of a slab, of as many rows as there may be.
#[repr(align(64))]
struct Strips([MaybeUninit<f32>; DEEP.1 * STRIP]);

/// A slab, widened.
#[repr(align(64))]
struct Scratch([MaybeUninit<u8>; SLAB]);

/// All rows and panels of a product of many rows.
#[inline(always)]
pub(super) unsafe fn many<W: Weight>(p: &Product) {
    let (whole, n) = (Part::new(p), p.rows);
    // SAFETY: `p.rows` rows and `p.count` panels, as the caller promised
    unsafe {
        if n < DEEP.0 {
            if n < MANY {
                (0..p.count).for_each(|c| slabs::<W, false>(p, whole.panel(c)));
            } else {
                (0..p.count).for_each(|c| slabs::<W, true>(p, whole.panel(c)));
            }
            return;
        }
        for r in (0..n).step_by(DEEP.1) {
            let rows = whole.row(r);
            (0..p.count).step_by(SHARING).for_each(|c| deep::<W>(rows.panel(c), DEEP.1.min(n - r), p.lines, SHARING.min(p.count - c)));
        }
    }
}

/// Many rows and one panel, slab after slab, each as floats first if `WIDEN`.
#[inline(always)]
unsafe fn slabs<W: Weight, const WIDEN: bool>(p: &Product, panel: Part) {
    let step = SLAB / LINE / W::K;
    let mut wide = Scratch([MaybeUninit::uninit(); SLAB]);
    for first in (0..p.lines.max(1)).step_by(step) {
        let take = step.min(p.lines - first);
        // SAFETY: lines first .. first + take of the panel, the inputs that belong to them; the scratch holds a slab
        unsafe {
            let lines = panel.lines.add(first * LINE);
            let slab = Part { x: panel.x.add(first * W::K * size_of::<f32>()), take, more: first > 0, lines, ..panel };
            if W::K == 1 || !WIDEN {
                rows::<W>(slab, p.rows);
            } else {
                widen::<W>(lines, take, wide.0.as_mut_ptr().cast());
                rows::<F32>(Part { lines: wide.0.as_ptr().cast(), take: take * W::K, ..slab }, p.rows);
            }
        }
    }
}

/// Many rows, n at most [`DEEP`], and some panels, slab by slab: what belongs to a slab of every row is laid out first, then panel after panel takes it.
///
/// So rows come from the second-level cache however long they are, and those of a tile never fall onto the same lines of the first, as rows do that
/// are a multiple of 4 KiB apart.
#[inline(always)]
unsafe fn deep<W: Weight>(whole: Part, n: usize, lines: usize, count: usize) {
    let step = STRIP / W::K;
    let (mut wide, mut strips) = (Scratch([MaybeUninit::uninit(); SLAB]), Strips([MaybeUninit::uninit(); DEEP.1 * STRIP]));
    let strips: *mut f32 = strips.0.as_mut_ptr().cast();
    for first in (0..lines.max(1)).step_by(step) {
        let take = step.min(lines - first);
        // SAFETY: lines first .. first + take of every panel, the inputs that belong to them; the scratch holds a slab, the strips its inputs of all rows
        unsafe {
            let x = whole.x.cast::<f32>().add(first * W::K);
            lay(x, whole.stride / size_of::<f32>(), n, take * W::K, strips);
            for c in 0..count {
                let panel = whole.panel(c);
                let lines = panel.lines.add(first * LINE);
                let next = lines.wrapping_add(panel.apart);
                let slab = Part { x: strips.cast(), take: take * W::K, more: first > 0, lines, ..panel };
                if W::K == 1 {
                    strips_of(slab, n, (next, take * LINE));
                } else {
                    widen::<W>(lines, take, wide.0.as_mut_ptr().cast());
                    strips_of(Part { lines: wide.0.as_ptr().cast(), ..slab }, n, (next, take * LINE));
                }
            }
        }
    }
}

/// Copies `inputs` numbers of each of `n` rows, `stride` apart, to rows [`STRIP`] apart.
#[inline(always)]
unsafe fn lay(x: *const f32, stride: usize, n: usize, inputs: usize, to: *mut f32) {
    for r in 0..n {
        // SAFETY: rows and inputs that the caller promised, on both sides; what is asked for ahead need not be there
        unsafe {
            for i in (0..inputs).step_by(WIDTH) {
                _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add((r + 4) * stride + i).cast());
            }
            to.add(r * STRIP).copy_from_nonoverlapping(x.add(r * stride), inputs);
        }
    }
}

/// `n` rows that [`lay`] has laid out and one panel of floats, tile by tile; `next` are bytes to ask for meanwhile, and how many.
#[inline(always)]
unsafe fn strips_of(p: Part, n: usize, (next, bytes): (*const u8, usize)) {
    let share = (bytes / n).next_multiple_of(LINE);
    let mut r = 0;
    while r < n {
        let height = (n - r).div_ceil((n - r).div_ceil(TALL));
        // SAFETY: rows below `n`
        unsafe {
            for at in (r * share..((r + height) * share).min(bytes)).step_by(LINE) {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(at).cast());
            }
            let part = Part { x: p.x.add(r * STRIP * size_of::<f32>()), out: p.out.add(r * p.out_stride), ..p };
            match height {
                1 => strip::<1>(part),
                2 => strip::<2>(part),
                3 => strip::<3>(part),
                4 => strip::<4>(part),
                5 => strip::<5>(part),
                _ => strip::<TALL>(part),
            }
        }
        r += height;
    }
}

/// R rows that [`lay`] has laid out and one panel of floats.
#[inline(always)]
unsafe fn strip<const R: usize>(p: Part) {
    // SAFETY: R rows, `take` lines, as the caller promised
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        let place = |r: usize| p.out.add(r * p.out_stride);
        for (r, sums) in sums.iter_mut().enumerate() {
            _mm_prefetch::<_MM_HINT_T0>(place(r).cast());
            if p.more {
                *sums = [_mm256_loadu_ps(place(r)), _mm256_loadu_ps(place(r).add(8))];
            }
        }
        let (mut x, mut line) = (p.x.cast::<f32>(), p.lines.cast::<f32>());
        macro_rules! input {
            ($i:expr) => {
                let w = [_mm256_load_ps(line.add($i * WIDTH)), _mm256_load_ps(line.add($i * WIDTH + 8))];
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_broadcast_ss(&*x.add(r * STRIP + $i));
                    *sums = [_mm256_fmadd_ps(x, w[0], sums[0]), _mm256_fmadd_ps(x, w[1], sums[1])];
                }
            };
        }
        let mut left = p.take;
        // only where most of the time goes: were every height unrolled, the compiler would leave calls in the loops
        if R == TALL {
            while left >= 4 {
                input!(0);
                input!(1);
                input!(2);
                input!(3);
                (x, line, left) = (x.add(4), line.add(4 * WIDTH), left - 4);
            }
        }
        for _ in 0..left {
            input!(0);
            (x, line) = (x.add(1), line.add(WIDTH));
        }
        for (r, sums) in sums.iter().enumerate() {
            _mm256_storeu_ps(place(r), sums[0]);
            _mm256_storeu_ps(place(r).add(8), sums[1]);
        }
    }
}

/// Lines as floats, an input a line.
#[inline(always)]
unsafe fn widen<W: Weight>(lines: *const u8, take: usize, to: *mut f32) {
    for i in 0..take {
        for j in 0..W::K {
            for half in 0..2 {
                // SAFETY: line i, and its place in a slab
                unsafe { _mm256_store_ps(to.add((i * W::K + j) * WIDTH + 8 * half), W::load(lines.add(i * LINE), half, j)) };
            }
        }
    }
}
