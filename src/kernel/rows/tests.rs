use super::*;
use crate::kernel::linear::tests::guarded::Guarded;
use crate::kernel::linear::{Layout, Numbers};
use crate::kernel::testing::noise;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
const WIDTHS: [usize; 12] = [1, 5, 7, 8, 15, 16, 17, 33, 100, 130, 1024, 1300];

fn paths() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available())
}

fn packed(w: &[f32], (count, width): (usize, usize), precision: Precision) -> Rows {
    let view = View { numbers: &w, first: 0, apart: width, layout: Layout::OutIn };
    let (rows, bad) = Rows::pack(&view, (count, width), precision);
    assert_eq!(bad, None);
    rows
}

fn row(rows: &Rows, i: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows.width];
    rows.row(i, &mut out);
    out
}

#[test]
fn products_are_within_the_bound_and_the_same_side_by_side() {
    let ids = [3, 0, 6, 6, 1, 9, 2, 5, 4];
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        for width in WIDTHS {
            let (rows, x) = (packed(&noise(10 * width, 1), (10, width), precision), noise(width, 2));
            let mut dots = [7.0; 9];
            rows.dots_on(isa, &ids, &x, &mut dots);
            let (mut sum, mut want) = (noise(width, 3), noise(width, 3));
            let units: Vec<(usize, f32)> = ids.iter().zip(noise(9, 4)).map(|(i, a)| (*i, a)).collect();
            rows.add_all_on(isa, &units, &mut sum);
            for (i, dot) in ids.into_iter().zip(dots) {
                let mut alone = [0.0];
                rows.dots_on(isa, &[i], &x, &mut alone);
                assert_eq!(alone, [dot]);
                // width products of numbers up to 1, each rounded to 2⁻²⁴, and as many additions of numbers up to the width / 16, then 16
                let bound = (width * (width / 16 + 20)) as f64 * 6e-8 + 1e-7;
                assert!((f64::from(dot) - naive_dot(&row(&rows, i), &x)).abs() <= bound, "{isa:?} {precision:?} {width}");
            }
            let before = want.clone();
            units.iter().for_each(|unit| rows.add_all_on(isa, &[*unit], &mut want));
            assert_eq!(sum, want, "{isa:?} {precision:?} {width}");
            for (j, sum) in sum.iter().enumerate() {
                let exact = units.iter().fold(f64::from(before[j]), |s, (i, a)| s + f64::from(*a) * f64::from(row(&rows, *i)[j]));
                assert!((f64::from(*sum) - exact).abs() < 3e-6, "{isa:?} {precision:?} {width}");
            }
        }
    }
}

/// Small integers are exact in any order: a number left out, or multiplied with its neighbour's, shows.
#[test]
fn integers_are_exact() {
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        for width in WIDTHS {
            let integers = |n, seed| noise(n, seed).iter().map(|x| (x * 126.0).round()).collect::<Vec<f32>>();
            let mut w = integers(5 * width, 1);
            // int8: the factor is 1
            w.chunks_exact_mut(width).for_each(|row| row[0] = 127.0);
            let (rows, x) = (packed(&w, (5, width), precision), integers(width, 2));
            let mut dots = [0.0; 5];
            rows.dots_on(isa, &[0, 1, 2, 3, 4], &x, &mut dots);
            let mut sum = x.clone();
            rows.add_all_on(isa, &[(4, 2.0), (1, -3.0)], &mut sum);
            for (i, dot) in dots.into_iter().enumerate() {
                assert_eq!(f64::from(dot), naive_dot(&w[i * width..][..width], &x), "{isa:?} {precision:?} {width}");
            }
            let want: Vec<f32> = (0..width).map(|j| x[j] + 2.0 * w[4 * width + j] - 3.0 * w[width + j]).collect();
            assert_eq!(sum, want, "{isa:?} {precision:?} {width}");
        }
    }
}

#[test]
fn rows_are_packed_whatever_their_number_and_the_threads() {
    // several tasks
    let (count, width) = (1100, 517);
    let w = noise(count * width, 1);
    for precision in PRECISIONS {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let rows = pool.install(|| packed(&w, (count, width), precision));
            assert_eq!(rows.bytes(), count * (width * precision.bytes() + if precision == Precision::Int8 { 4 } else { 0 }));
            for (i, w) in w.chunks_exact(width).enumerate() {
                // half a step of 1 / 127, half a unit of bf16
                let bound = [0.0, 0.00196, 0.00394][precision as usize];
                assert!(row(&rows, i).iter().zip(w).all(|(got, w)| (got - w).abs() <= bound), "{precision:?} {i}");
            }
        }
    }
}

#[test]
fn a_number_that_is_not_finite_is_found_and_spreads() {
    let (count, width) = (1500, 300);
    for layout in [Layout::OutIn, Layout::InOut] {
        let mut w = noise(count * width, 1);
        (w[440_000], w[432_100]) = (f32::NAN, f32::INFINITY);
        let view = View { numbers: &&w[..], first: 0, apart: if layout == Layout::OutIn { width } else { count }, layout };
        let (_, bad) = Rows::pack(&view, (count, width), Precision::F32);
        assert_eq!(bad.map(|b| (b.index, b.value)), Some((432_100, f32::INFINITY)));
    }
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        let mut x = noise(37, 2);
        x[36] = f32::NAN;
        let rows = packed(&noise(37 * 2, 1), (2, 37), precision);
        let mut dots = [0.0; 2];
        rows.dots_on(isa, &[0, 1], &x, &mut dots);
        assert!(dots.iter().all(|d| d.is_nan()));
        rows.add_all_on(isa, &[(1, f32::NAN)], &mut x);
        assert!(x.iter().all(|d| d.is_nan()));
    }
}

/// What a file has is let go once, and all of it.
#[test]
fn packed_numbers_are_told() {
    struct Told<'a>(&'a [f32], Mutex<Vec<Range<usize>>>);
    impl Numbers for Told<'_> {
        fn fill(&self, first: usize, out: &mut [f32]) {
            (&self.0).fill(first, out);
        }
        fn done(&self, numbers: Range<usize>) {
            self.1.lock().unwrap().push(numbers);
        }
    }
    let (count, width) = (1100, 517);
    let w = noise(count * width, 1);
    for (layout, apart) in [(Layout::OutIn, width), (Layout::InOut, count)] {
        let told = Told(&w, Mutex::default());
        Rows::pack(&View { numbers: &told, first: 0, apart, layout }, (count, width), Precision::Bf16);
        let mut done = told.1.into_inner().unwrap();
        done.sort_by_key(|r| r.start);
        assert_eq!(done.first().map(|r| r.start), Some(0));
        assert!(done.windows(2).all(|r| r[0].end == r[1].start));
        assert_eq!(done.last().map(|r| r.end), Some(count * width));
    }
}

/// Bytes between pages that nobody may touch, as a file's.
struct Fenced(#[expect(dead_code, reason = "held until the bytes go")] Mutex<Guarded>, *const u8, usize);
// SAFETY: only read
unsafe impl Send for Fenced {}
// SAFETY: as above
unsafe impl Sync for Fenced {}
impl AsRef<[u8]> for Fenced {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: mapped as long as `self`
        unsafe { std::slice::from_raw_parts(self.1, self.2) }
    }
}

#[test]
fn mapped_rows_are_the_bits_of_packed_ones_at_any_address() {
    for precision in [Precision::F32, Precision::Bf16] {
        for (width, at_end, off) in WIDTHS.into_iter().flat_map(|w| [(w, true, 0), (w, true, 3), (w, false, 0), (w, false, 1)]) {
            let w = noise(6 * width, 1);
            let rows = packed(&w, (6, width), precision);
            let bytes = rows.data.bytes().to_vec();
            // the first or the last row ends where the pages do, but for the offset
            let mut guarded = Guarded::new(bytes.len() + off, at_end, 0xFF);
            let start = if at_end { off } else { 0 };
            guarded.slice::<u8>()[start..start + bytes.len()].copy_from_slice(&bytes);
            let at = guarded.ptr().cast_const();
            let source: Source = Arc::new(Fenced(Mutex::new(guarded), at, bytes.len() + off));
            let mapped = Rows::mapped(source, start, (6, width), precision).unwrap();
            assert!(mapped.is_mapped() && !rows.is_mapped());
            for isa in paths() {
                let of = |rows: &Rows| {
                    let (mut dots, mut sum) = ([0.0; 6], noise(width, 5));
                    rows.dots_on(isa, &[5, 0, 3, 2, 1, 4], &noise(width, 2), &mut dots);
                    rows.add_all_on(isa, &[(0, 0.3), (5, -1.0), (2, 0.1), (3, 2.0), (5, 1.0)], &mut sum);
                    (dots, sum, (0..6).map(|i| row(rows, i)).collect::<Vec<_>>())
                };
                assert_eq!(of(&mapped), of(&rows), "{isa:?} {precision:?} {width}");
            }
        }
    }
    let file = || Arc::new(vec![0u8; 100]) as Source;
    assert!(Rows::mapped(file(), 4, (3, 8), Precision::F32).is_some());
    assert!(Rows::mapped(file(), 5, (3, 8), Precision::F32).is_none());
    assert!(Rows::mapped(file(), 0, (3, 8), Precision::Int8).is_none());
    assert!(Rows::mapped(file(), 1, (usize::MAX / 4, 4), Precision::F32).is_none());
}
