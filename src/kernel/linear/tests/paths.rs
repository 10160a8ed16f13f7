//! Every kernel of this machine against the definition, between unmapped pages, and the law.

use super::guarded::{Case, Format, Kind, Noise};
use crate::kernel::linear::product::{Product, WIDTH};
use Format::{Bf16, F32, Int8};

/// A kernel and what it takes.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    available: fn() -> bool,
    run: unsafe fn(&Product),
    weights: Format,
    operands: Format,
}

macro_rules! kernel {
    ($module:ident :: $name:ident, $available:path, $weights:ident x $operands:ident) => {
        Kernel {
            name: concat!(stringify!($module), "::", stringify!($name)),
            available: $available,
            run: crate::kernel::linear::$module::$name,
            weights: $weights,
            operands: $operands,
        }
    };
}

fn always() -> bool {
    true
}

const PORTABLE: [Kernel; 3] =
    [kernel!(portable::f32, always, F32 x F32), kernel!(portable::bf16, always, Bf16 x F32), kernel!(portable::int8, always, Int8 x Int8)];

#[cfg(target_arch = "x86_64")]
const VECTOR: &[Kernel] = {
    use crate::kernel::linear::{amx, avx2, avx512};
    &[
        kernel!(avx2::f32, avx2::available, F32 x F32),
        kernel!(avx2::bf16, avx2::available, Bf16 x F32),
        kernel!(avx2::int8, avx2::available, Int8 x Int8),
        kernel!(avx512::f32, avx512::available, F32 x F32),
        kernel!(avx512::bf16, avx512::available, Bf16 x F32),
        kernel!(avx512::int8, avx512::available, Int8 x Int8),
        kernel!(avx512::int8_vnni, avx512::vnni_available, Int8 x Int8),
        kernel!(avx512::bf16_pairs, avx512::pairs_available, Bf16 x Bf16),
        kernel!(amx::bf16, amx::available, Bf16 x Bf16),
        kernel!(amx::int8, amx::available, Int8 x Int8),
    ]
};

#[cfg(target_arch = "aarch64")]
const VECTOR: &[Kernel] = {
    use crate::kernel::linear::neon;
    &[
        kernel!(neon::f32, neon::available, F32 x F32),
        kernel!(neon::bf16, neon::available, Bf16 x F32),
        kernel!(neon::int8, neon::available, Int8 x Int8),
        kernel!(neon::int8_dot, neon::dot_available, Int8 x Int8),
    ]
};

/// Rows, panels and lines that always come first: several blocks of lines, tiles of rows that are full, part full and in pairs, nothing.
const SHAPES: [(usize, usize, usize); 12] = [
    (1, 9, 208),
    (33, 2, 176),
    (12, 4, 112),
    (16, 7, 336),
    (17, 3, 96),
    (50, 3, 336),
    (64, 2, 176),
    (5, 0, 16),
    (9, 3, 0),
    (23, 5, 208),
    (101, 35, 272),
    (70, 2, 528),
];

/// Calls `f` for each kernel of this machine, [`SHAPES`] and then random products, of all kinds of numbers. On a slow (emulated) machine `KERNEL_CASES` takes fewer
/// of them, and `KERNEL_ONLY` kernels whose names begin so.
fn each(seed: u64, cases: usize, f: impl Fn(Kernel, Kind, &mut Case, &mut Noise)) {
    let cases = std::env::var("KERNEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let only = std::env::var("KERNEL_ONLY").unwrap_or_default();
    let mut ran = 0;
    for kernel in PORTABLE.iter().chain(VECTOR).filter(|k| k.name.starts_with(&only)) {
        if !(kernel.available)() {
            println!("skipped: {}", kernel.name);
            continue;
        }
        let mut noise = Noise::new(seed);
        for n in 0..cases {
            let shape = SHAPES.get(n).copied().unwrap_or_else(|| {
                let rows = [0, 1, 2, 5, 6, 7, 15, 16, 17, 31, 33, 50][noise.below(12)];
                // tall ones with fewer panels: the definition takes its time
                let count = noise.below(10) * 12 / rows.clamp(12, 24);
                let tiles = [0, 16, 48, 112, 176][noise.below(5)];
                (rows, count, if kernel.weights == F32 && n % 2 == 0 { noise.below(130) } else { tiles })
            });
            let kind = [Kind::Plain, Kind::Wide, Kind::Small, Kind::Special, Kind::Huge][n % 5];
            let mut case = Case::new((kernel.weights, kernel.operands), shape, kind, &mut noise);
            f(*kernel, kind, &mut case, &mut noise);
            ran += 1;
        }
        println!("ran: {} × {cases}", kernel.name);
    }
    assert!(ran >= cases);
}

/// Runs a kernel over a product of a sound [`Case`].
fn run(kernel: Kernel, case: &mut Case) -> Vec<u32> {
    // SAFETY: the case's buffers are as the product says, and the kernel is available
    case.bits(|p| unsafe { (kernel.run)(p) })
}

/// out(r, o) in f64 and Σ |x w|, of numbers that `see` has looked at.
fn definition(case: &Case, see: impl Fn(f32) -> f64) -> Vec<(f64, f64)> {
    if case.k == 0 {
        return Vec::new();
    }
    let dot = |x: &[f32], w: &[f32]| {
        x.iter().zip(w).fold((0.0, 0.0), |(sum, size), (x, w)| {
            let product = see(*x) * see(*w);
            (sum + product, size + product.abs())
        })
    };
    case.x.chunks_exact(case.k).flat_map(|x| case.w.chunks_exact(case.k).map(move |w| dot(x, w))).collect()
}

/// int8: the i32 of the definition, exactly (in f64 they are exact too).
#[test]
fn int8_is_exact() {
    each(1, 60, |kernel, _, case, _| {
        if kernel.weights == Int8 {
            let got = run(kernel, case);
            let want = definition(case, f64::from);
            for (at, got) in got.iter().enumerate() {
                assert_eq!(f64::from(*got as i32), want.get(at).map_or(0.0, |w| w.0), "{} {at}", kernel.name);
            }
        }
    });
}

/// Kernels of f32 operands add in the order of the inputs with one rounding each (plain loops on x86-64: two), whatever the numbers.
#[test]
fn f32_operands_give_the_bits_of_the_order() {
    let fused = |sum: f32, (x, w): (&f32, &f32)| x.mul_add(*w, sum);
    let plain = |sum: f32, (x, w): (&f32, &f32)| if cfg!(target_arch = "aarch64") { fused(sum, (x, w)) } else { x * w + sum };
    each(2, 60, |kernel, kind, case, _| {
        if kernel.operands != F32 {
            return;
        }
        let got = run(kernel, case);
        let dot = |x: &[f32], w: &[f32]| {
            let pairs = x.iter().zip(w);
            if kernel.name.starts_with("portable") { pairs.fold(0.0, plain) } else { pairs.fold(0.0, fused) }
        };
        for (at, got) in got.iter().enumerate().filter(|_| case.k > 0) {
            let (r, o) = (at / (case.w.len() / case.k), at % (case.w.len() / case.k));
            let want = dot(&case.x[r * case.k..][..case.k], &case.w[o * case.k..][..case.k]);
            let want = if want.is_nan() { f32::NAN } else { want };
            assert_eq!(*got, want.to_bits(), "{} {kind:?}", kernel.name);
        }
    });
}

/// Σ of n products: however they are added, a term goes through at most n + 2 roundings of 1 ± u, u = 2⁻²⁴ (plain
/// loops round the product too; a tile of AMX adds two chains, then to the sum before: fewer), so the error is at most γ(n + 2) Σ |x w|, γ(m) = m u / (1 − m u). Where denormals become
/// zero, each rounding may lose 2⁻¹²⁶ more; operands that are denormal count as zero in the definition too.
#[test]
fn floats_are_within_the_bound() {
    each(3, 60, |kernel, kind, case, _| {
        if kernel.weights == Int8 || kind == Kind::Huge {
            return;
        }
        let flushes = kernel.operands == Bf16;
        let m = (case.k + 2) as f64;
        let gamma = m * 2f64.powi(-24) / (1.0 - m * 2f64.powi(-24));
        let lost = m * 2f64.powi(if flushes { -126 } else { -150 });
        let got = run(kernel, case);
        let want = definition(case, |x| if flushes && x.is_subnormal() { 0.0 } else { f64::from(x) });
        for (at, got) in got.iter().enumerate() {
            let got = f64::from(f32::from_bits(*got));
            let (sum, size) = want.get(at).copied().unwrap_or_default();
            let fits = if sum.is_finite() {
                (got - sum).abs() <= gamma * size + lost
            } else {
                got.is_nan() == sum.is_nan() && (got == sum || sum.is_nan())
            };
            assert!(fits, "{} {kind:?} {at}: {got} for {sum}, {size} in all, k {}", kernel.name, case.k);
        }
    });
}

/// The law: row by row and panel by panel, and in random pieces, gives the same bits.
#[test]
fn no_output_depends_on_its_neighbours() {
    each(4, 60, |kernel, kind, case, noise| {
        let whole = run(kernel, case);
        let single = case.bits(|p| {
            for (r, c) in (0..p.rows).flat_map(|r| (0..p.count).map(move |c| (r, c))) {
                // SAFETY: a part of a sound product
                unsafe { (kernel.run)(&p.of_rows(r, 1).of_panels(c, 1)) }
            }
        });
        assert_eq!(whole, single, "{} {kind:?}", kernel.name);
        let pieces = case.bits(|p| {
            let (r, c) = (noise.below(p.rows + 1), noise.below(p.count + 1));
            for (r, rows) in [(0, r), (r, p.rows - r)] {
                for (c, count) in [(0, c), (c, p.count - c)] {
                    // SAFETY: as above
                    unsafe { (kernel.run)(&p.of_rows(r, rows).of_panels(c, count)) }
                }
            }
        });
        assert_eq!(whole, pieces, "{} {kind:?}", kernel.name);
    });
}

/// Sums of 131,072 products of 127² stay in an i32, though with x + 128 they leave it on the way.
#[test]
fn the_longest_int8_row_does_not_overflow() {
    for kernel in PORTABLE.iter().chain(VECTOR).filter(|k| k.weights == Int8 && (k.available)()) {
        for (x, w) in [(127i8, 127i8), (-127, 127), (127, -127)] {
            let (rows, lines) = (3, 32_768);
            let operands = vec![x as u8; rows * lines * 4];
            let mut panels = super::guarded::Guarded::new(lines * 64, true, w as u8);
            let sums = [i32::from(w) * 131_072; WIDTH];
            let mut out = [0f32; 3 * WIDTH];
            let p = Product {
                x: operands.as_ptr(),
                stride: lines * 4,
                rows,
                panels: panels.ptr(),
                count: 1,
                lines,
                sums: sums.as_ptr(),
                out: out.as_mut_ptr(),
                out_stride: WIDTH,
            };
            // SAFETY: three rows and one panel of the sizes said
            unsafe { (kernel.run)(&p) };
            let want = i32::from(x) * i32::from(w) * 131_072;
            assert!(out.iter().all(|got| got.to_bits() as i32 == want), "{} {x} {w}", kernel.name);
        }
    }
}

/// Threads that compute at once do not disturb each other, and each of them may use what the process asked for.
#[test]
fn threads_compute_side_by_side() {
    std::thread::scope(|scope| {
        for seed in 10..13 {
            scope.spawn(move || {
                each(seed, 12, |kernel, _, case, _| {
                    let first = run(kernel, case);
                    for _ in 0..3 {
                        assert_eq!(first, run(kernel, case), "{}", kernel.name);
                    }
                });
            });
        }
    });
}

/// Which paths the machine has is printed, so that a run that tested nothing can be told.
#[test]
fn paths_of_this_machine() {
    for kernel in PORTABLE.iter().chain(VECTOR) {
        println!("{:<20} {}", kernel.name, if (kernel.available)() { "here" } else { "not here" });
    }
}
