use super::activation::private::Sixteen;
use super::activation::{Function, Gelu, GeluTanh, Lanewise, Relu, Silu, Tanh, functions};
use super::exp::{exp, exp_row_on, log_sum_exp_on};
use super::*;
use crate::kernel::testing::noise;
use candle_core::cpu::erf::erfc_f64;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

mod norms;

/// The definitions, in f64.
mod naive {
    use super::*;

    pub fn gelu(x: f64) -> f64 {
        0.5 * x * erfc_f64(-x * FRAC_1_SQRT_2)
    }
    pub fn gelu_tanh(x: f64) -> f64 {
        // (1 + tanh u) / 2 = 1 / (1 + e^−2u), which keeps its digits for negative u
        x / (1.0 + (-FRAC_2_SQRT_PI * std::f64::consts::SQRT_2 * (x + 0.044_715 * x.powi(3))).exp())
    }
    pub fn relu(x: f64) -> f64 {
        if x < 0.0 { 0.0 } else { x }
    }
    pub fn silu(x: f64) -> f64 {
        x / (1.0 + (-x).exp())
    }
}

fn paths() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available())
}

#[derive(Clone, Copy)]
struct Exp;
functions!(Exp);
impl Lanewise for Exp {
    #[inline(always)]
    unsafe fn of<L: Lanes>(self, x: L) -> L {
        // SAFETY: handed on
        unsafe { exp(x) }
    }
}

fn run<F: Function>(isa: Isa, f: F, x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    on(isa, Map(f, x.as_ptr(), y.as_mut_ptr(), x.len()));
    y
}

/// Every sign and exponent, denormals too, with `steps` mantissas each.
fn binades(steps: u32) -> Vec<f32> {
    let one = |e: u32, s: u32| f32::from_bits((e << 23) | (s as u64 * 0x7f_ffff / u64::from(steps - 1)) as u32);
    let positive = (0..255).flat_map(|e| (0..steps).map(move |s| one(e, s)));
    positive.clone().chain(positive.map(|x| -x)).collect()
}

/// As [`binades`], with many more from 2⁻⁶ to 2⁷, where something happens.
fn numbers() -> Vec<f32> {
    let mut all = binades(300);
    for e in 121..134u32 {
        for s in 0..40_000u32 {
            let x = f32::from_bits((e << 23) | (s * 209 + s % 7));
            all.extend([x, -x]);
        }
    }
    all
}

/// The unit in the last place of an f32 near `y`.
fn unit(y: f64) -> f64 {
    let y = (y.abs() as f32).min(f32::MAX);
    f64::from(f32::from_bits(y.to_bits().max(0x0080_0000) & 0x7f80_0000)) * f64::from(f32::EPSILON)
}

/// Errors at most `units` in the last place, or `tiny`; specials as the definition has them. Prints the worst.
fn check<F: Function>(name: &str, f: F, want: impl Fn(f64) -> f64, x: &[f32], (units, tiny): (f64, f64)) {
    for isa in paths() {
        let (mut worst, mut at) = (0.0, 0.0);
        for (x, got) in x.iter().zip(run(isa, f, x)) {
            let want = want(f64::from(*x));
            if want.is_nan() {
                assert!(got.is_nan(), "{name} {}: {x:e} gives {got:e}", isa.name());
                continue;
            }
            let error = (f64::from(got) - want).abs();
            assert!(
                error <= tiny || error <= units * unit(want),
                "{name} {}: {x:e} gives {got:e}, not {want:e}: {} units",
                isa.name(),
                error / unit(want)
            );
            if error > tiny && error / unit(want) > worst {
                (worst, at) = (error / unit(want), *x);
            }
            assert!(f64::from(got) * want >= 0.0, "{name}: the sign at {x:e}");
        }
        println!("{name} {}: {worst:.3} units at {at:e}", isa.name());
    }
}

#[test]
fn activations_are_within_units_of_the_definition() {
    // the worst of all floats on the AVX2 path: 0.52, 1.54 and 3.41, 1.52 and 3.35, 1.50
    let (above, below): (Vec<f32>, Vec<f32>) = numbers().into_iter().partition(|x| x.is_sign_positive());
    check("gelu", Gelu, naive::gelu, &above, (0.52, 0.0));
    check("gelu", Gelu, naive::gelu, &below, (0.52, 0.0));
    check("gelu_tanh", GeluTanh, naive::gelu_tanh, &above, (1.6, 0.0));
    check("gelu_tanh", GeluTanh, naive::gelu_tanh, &below, (3.5, 1e-35));
    check("silu", Silu, naive::silu, &above, (1.6, 0.0));
    check("silu", Silu, naive::silu, &below, (3.5, 1e-35));
    check("exp", Exp, f64::exp, &below, (1.1, 7e-38));
    for x in [&above, &below] {
        check("relu", Relu, naive::relu, x, (0.0, 0.0));
        check("tanh", Tanh, f64::tanh, x, (1.6, 0.0));
    }
}

#[test]
fn infinities_and_nan_are_those_of_the_definition() {
    let mut x = vec![f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff), f32::INFINITY, 0.0, -0.0, f32::MAX, f32::MIN];
    for isa in paths() {
        let y = [run(isa, Gelu, &x), run(isa, GeluTanh, &x), run(isa, Relu, &x), run(isa, Silu, &x), run(isa, Tanh, &x)];
        for (f, y) in y.iter().enumerate() {
            assert!(y[..3].iter().all(|y| y.is_nan()), "{f} of NaN {}", isa.name());
            assert_eq!(y[3], if f == 4 { 1.0 } else { f32::INFINITY });
            assert_eq!(y[4..6], [0.0, 0.0]);
            assert_eq!(y[6], if f == 4 { 1.0 } else { f32::MAX });
            assert_eq!(y[7], if f == 4 { -1.0 } else { 0.0 });
        }
    }
    x = vec![f32::NEG_INFINITY];
    for isa in paths() {
        assert!(run(isa, Gelu, &x)[0].is_nan() && run(isa, GeluTanh, &x)[0].is_nan() && run(isa, Silu, &x)[0].is_nan());
        assert_eq!((run(isa, Relu, &x)[0], run(isa, Tanh, &x)[0], run(isa, Exp, &x)[0]), (0.0, -1.0, 0.0));
    }
}

const LENGTHS: [usize; 11] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 1000];

/// A copy of `x` that ends where the memory of the process ends: one float further is a segmentation fault.
struct Guarded {
    pages: *mut u8,
    size: usize,
    at: *mut f32,
    len: usize,
}

#[cfg(target_os = "linux")]
impl Guarded {
    fn new(x: &[f32]) -> Self {
        let page = 1 << 16;
        let size = (x.len() * 4).next_multiple_of(page) + page;
        // SAFETY: fresh pages; the last is taken away again
        unsafe {
            let pages =
                libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
                    .cast::<u8>();
            assert_eq!(libc::mprotect(pages.add(size - page).cast(), page, libc::PROT_NONE), 0);
            let at = pages.add(size - page).cast::<f32>().sub(x.len());
            at.copy_from_nonoverlapping(x.as_ptr(), x.len());
            Self { pages, size, at, len: x.len() }
        }
    }
}

impl std::ops::Deref for Guarded {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: as made
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }
}

impl std::ops::DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as made
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: our own pages
        unsafe { libc::munmap(self.pages.cast(), self.size) };
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn in_place_of_any_cut<F: Function>(f: F) {
    let x: Vec<f32> = noise(1100, 7).iter().map(|x| x * 9.0).collect();
    for isa in paths() {
        let alone: Vec<f32> = x.iter().map(|x| run(isa, f, &[*x])[0]).collect();
        for n in LENGTHS {
            for offset in [0, 1, 3, 5, 11, 63] {
                let mut part = Guarded::new(&x[offset..offset + n]);
                let (before, at) = (run(isa, f, &part), part.as_mut_ptr());
                on(isa, Map(f, at, at, n));
                assert_eq!(bits(&part), bits(&alone[offset..offset + n]), "{} {n} {offset}", isa.name());
                assert_eq!(bits(&part), bits(&before));
            }
        }
    }
}

#[test]
fn a_number_does_not_depend_on_where_it_stands() {
    in_place_of_any_cut(Gelu);
    in_place_of_any_cut(GeluTanh);
    in_place_of_any_cut(Relu);
    in_place_of_any_cut(Silu);
    in_place_of_any_cut(Tanh);
    let x = noise(3 * TASK + 1234, 1);
    let mut y = x.clone();
    map(Gelu, &mut y);
    assert_eq!(bits(&y), bits(&run(isa(), Gelu, &x)), "threads");
    assert_eq!(bits(&y), bits(&mapped(Gelu, &x)));
    assert!(mapped(Gelu, &[]).is_empty());
}

#[test]
fn exp_row_sums_to_its_parts_and_keeps_nan() {
    for isa in paths() {
        let mut row = vec![f32::NEG_INFINITY; 32];
        (row[3], row[20]) = (2.0, 1.0);
        assert!((exp_row_on(isa, &mut row) - 1.367_879_4).abs() < 1e-6);
        assert_eq!((row[3], row[4]), (1.0, 0.0));
        row[7] = f32::NAN;
        assert!(exp_row_on(isa, &mut row).is_nan());
        assert!(exp_row_on(isa, &mut [f32::NEG_INFINITY; 16]).is_nan());
        assert_eq!(exp_row_on(isa, &mut []), 0.0);
        for n in [16, 48, 64, 80, 1008] {
            let x: Vec<f32> = noise(n, 3).iter().map(|x| x * 20.0).collect();
            let mut y = Guarded::new(&x);
            let sum = exp_row_on(isa, &mut y);
            let max = x.iter().copied().fold(f32::MIN, f32::max);
            let want: f64 = x.iter().map(|x| f64::from(x - max).exp()).sum();
            assert!((f64::from(sum) - want).abs() < 3e-7 * want, "{} {n}: {sum} {want}", isa.name());
            for (x, y) in x.iter().zip(&*y) {
                assert!((f64::from(*y) - f64::from(x - max).exp()).abs() < 1.2e-7 * f64::from(*y), "{x} {y}");
            }
        }
    }
}

#[test]
fn log_sum_exp_is_that_of_f64() {
    for isa in paths() {
        for n in LENGTHS {
            for factor in [1.0, 30.0, 1e30] {
                let x: Vec<f32> = noise(n + 3, 5).iter().map(|x| x * factor).collect();
                let x = Guarded::new(&x[3..]);
                let (max, sum) = log_sum_exp_on(isa, &x);
                let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let want: f64 = x.iter().map(|x| (f64::from(*x) - f64::from(top)).exp()).sum();
                assert_eq!(max, top);
                assert!((sum - want).abs() <= 4e-15 * want, "{} {n}: {sum} {want}", isa.name());
            }
        }
        assert!(log_sum_exp_on(isa, &[1.0, f32::NAN, 0.0]).1.is_nan());
        assert!(log_sum_exp_on(isa, &[1.0, f32::INFINITY]).1.is_nan());
        assert!(log_sum_exp_on(isa, &[f32::NEG_INFINITY; 3]).1.is_nan());
        assert_eq!(log_sum_exp_on(isa, &[f32::NEG_INFINITY, 3.0, f32::NEG_INFINITY]), (3.0, 1.0));
    }
}

/// Products number by number, in one part and in several.
#[test]
fn products_are_those_of_f32() {
    for n in [0, 1, 15, 4 * TASK, 8 * TASK + 7, 20 * TASK] {
        let (mut x, y) = (noise(n, 1), noise(n, 2));
        let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x * y).collect();
        multiply(&mut x, &y);
        assert_eq!(bits(&x), bits(&want), "{n}");
    }
}

#[test]
#[should_panic(expected = "as many numbers")]
fn products_need_as_many_numbers_on_both_sides() {
    multiply(&mut [1.0, 2.0], &[1.0]);
}
