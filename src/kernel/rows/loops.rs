//! Products with rows where they lie, at any address, written once for all paths.

use crate::kernel::elementwise::{Loop, Wide};
use crate::kernel::precision::Precision;
use crate::kernel::simd::{Lanes, prefetch};

/// Sums of a row.
const SUMS: usize = 16;
/// Bytes of a row that are asked for while the row before it is read: where it begins, the hardware knows nothing of it yet. Behind them it does.
const AHEAD: usize = 2048;

/// How numbers become floats.
trait Kind {
    const BYTES: usize;

    /// # Safety
    /// `p` points to `L::N` of them; the machine has the instruction set of `L`.
    unsafe fn load<L: Lanes>(p: *const u8) -> L;
}

struct F32;
struct Bf16;
struct Int8;

impl Kind for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const u8) -> L {
        // SAFETY: the caller's promise
        unsafe { L::load(p.cast()) }
    }
}

impl Kind for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const u8) -> L {
        // SAFETY: the caller's promise
        unsafe { L::load_bf16(p.cast()) }
    }
}

impl Kind for Int8 {
    const BYTES: usize = 1;
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const u8) -> L {
        // SAFETY: the caller's promise
        unsafe { L::load_i8(p.cast()) }
    }
}

/// Σ_j row(j) x(j) of R rows, without the factors of int8; `next` is read afterwards.
pub(super) struct Dots<'a, const R: usize> {
    pub rows: [&'a [u8]; R],
    pub next: [Option<&'a [u8]>; R],
    pub x: &'a [f32],
    pub precision: Precision,
}

impl<const R: usize> Loop for Dots<'_, R> {
    type Out = [f32; R];
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) -> [f32; R] {
        // SAFETY: handed on
        unsafe {
            match self.precision {
                Precision::F32 => self.of::<L, F32>(),
                Precision::Bf16 => self.of::<L, Bf16>(),
                Precision::Int8 => self.of::<L, Int8>(),
            }
        }
    }
}

impl<const R: usize> Dots<'_, R> {
    #[inline(always)]
    unsafe fn of<L: Lanes, K: Kind>(self) -> [f32; R] {
        let n = self.x.len();
        assert!(self.rows.iter().all(|row| row.len() == n * K::BYTES));
        let whole = n - n % SUMS;
        // SAFETY: 16 numbers of x and of each row at a time, the last ones padded
        unsafe {
            let mut sums = [[L::splat(0.0); SUMS]; R];
            for i in (0..whole).step_by(SUMS) {
                ask(&self.next, i * K::BYTES, SUMS * K::BYTES);
                step::<L, K, R>(&mut sums, self.rows.map(|row| row.as_ptr().add(i * K::BYTES)), self.x.as_ptr().add(i));
            }
            if whole < n {
                let (rows, x) = (self.rows.map(|row| padded(&row[whole * K::BYTES..])), padded(&self.x[whole..]));
                let at: [*const u8; R] = std::array::from_fn(|r| rows[r].as_ptr());
                step::<L, K, R>(&mut sums, at, x.as_ptr());
            }
            std::array::from_fn(|r| {
                let mut all = [0.0f32; SUMS];
                sums[r][..SUMS / L::N].iter().enumerate().for_each(|(k, sum)| sum.store(all.as_mut_ptr().add(k * L::N)));
                for half in [8, 4, 2, 1] {
                    (0..half).for_each(|i| all[i] += all[i + half]);
                }
                all[0]
            })
        }
    }
}

/// Adds 16 products of each row; of a row's registers only the first 16 / N are used.
#[inline(always)]
unsafe fn step<L: Lanes, K: Kind, const R: usize>(sums: &mut [[L; SUMS]; R], rows: [*const u8; R], x: *const f32) {
    for k in 0..SUMS / L::N {
        // SAFETY: the caller gives 16 numbers of each
        unsafe {
            let x = L::load(x.add(k * L::N));
            for (sums, row) in sums.iter_mut().zip(rows) {
                sums[k] = K::load::<L>(row.add(k * L::N * K::BYTES)).mul_add(x, sums[k]);
            }
        }
    }
}

/// out ← out + factors(0) · row 0 + …, in this order; `next` is read afterwards.
pub(super) struct Add<'a, const R: usize> {
    pub rows: [&'a [u8]; R],
    pub next: [Option<&'a [u8]>; R],
    pub factors: [f32; R],
    pub out: &'a mut [f32],
    pub precision: Precision,
}

impl<const R: usize> Loop for Add<'_, R> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        // SAFETY: handed on
        unsafe {
            match self.precision {
                Precision::F32 => self.of::<L, F32>(),
                Precision::Bf16 => self.of::<L, Bf16>(),
                Precision::Int8 => self.of::<L, Int8>(),
            }
        }
    }
}

impl<const R: usize> Add<'_, R> {
    #[inline(always)]
    unsafe fn of<L: Lanes, K: Kind>(self) {
        let n = self.out.len();
        assert!(self.rows.iter().all(|row| row.len() == n * K::BYTES));
        let whole = n - n % SUMS;
        // SAFETY: 16 numbers of out and of each row at a time, the last ones padded
        unsafe {
            let factors = self.factors.map(|a| L::splat(a));
            for i in (0..whole).step_by(SUMS) {
                ask(&self.next, i * K::BYTES, SUMS * K::BYTES);
                let rows = self.rows.map(|row| row.as_ptr().add(i * K::BYTES));
                add::<L, K, R>(rows, factors, self.out.as_mut_ptr().add(i));
            }
            if whole < n {
                let (rows, mut out) = (self.rows.map(|row| padded(&row[whole * K::BYTES..])), padded(&self.out[whole..]));
                let at: [*const u8; R] = std::array::from_fn(|r| rows[r].as_ptr());
                add::<L, K, R>(at, factors, out.as_mut_ptr());
                self.out[whole..].copy_from_slice(&out[..n - whole]);
            }
        }
    }
}

#[inline(always)]
unsafe fn add<L: Lanes, K: Kind, const R: usize>(rows: [*const u8; R], factors: [L; R], out: *mut f32) {
    for i in (0..SUMS).step_by(L::N) {
        // SAFETY: the caller gives 16 numbers of each
        unsafe {
            let mut sum = L::load(out.add(i));
            for (row, factor) in rows.iter().zip(factors) {
                sum = K::load::<L>(row.add(i * K::BYTES)).mul_add(factor, sum);
            }
            sum.store(out.add(i));
        }
    }
}

/// Asks for the line of each row at byte `at`, of which `step` are read at a time, if it is one of the first and a line begins there.
#[inline(always)]
fn ask<const R: usize>(next: &[Option<&[u8]>; R], at: usize, step: usize) {
    if at < AHEAD && at % 64 < step {
        for row in next.iter().flatten() {
            prefetch(row.as_ptr().wrapping_add(at));
        }
    }
}

/// The end of a row and zeros: 16 numbers of at most four bytes.
#[inline(always)]
fn padded<T: Copy + Default>(rest: &[T]) -> [T; 4 * SUMS] {
    let mut all = [T::default(); 4 * SUMS];
    all[..rest.len()].copy_from_slice(rest);
    all
}
