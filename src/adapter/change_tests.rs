use super::*;

/// Small numbers that f32 holds exactly, none of them twice in a row.
fn numbers(n: usize, step: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * step) % 23) as f32 / 8.0 - 1.25).collect()
}

fn low(rank: usize, sizes: (usize, usize), table: bool) -> LowRank {
    LowRank {
        module: "m".into(),
        a: numbers(rank * sizes.1, 7),
        b: numbers(sizes.0 * rank, 5),
        rank,
        sizes,
        scale: 0.75,
        table,
        magnitude: None,
        fan_in_fan_out: false,
    }
}

fn merged(base: &[f32], shape: [usize; 2], layout: Option<Layout>, changes: &[Change]) -> Vec<f32> {
    let mut out = vec![0.0; base.len()];
    Merged::new(&base, &shape, layout, changes).unwrap().fill(0, &mut out);
    out
}

#[test]
fn a_sum_by_hand() {
    // W (2, 3), A (1, 3), B (2, 1): 0.5 B A = [[1, 2, 3], [-2, -4, -6]]
    let sum = |fan_in_fan_out| LowRank { a: vec![1.0, 2.0, 3.0], b: vec![2.0, -4.0], scale: 0.5, fan_in_fan_out, ..low(1, (2, 3), false) };
    let w = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0f32];
    let straight = [11.0, 22.0, 33.0, 38.0, 46.0, 54.0f32];
    for (layout, flag) in [(Some(Layout::OutIn), true), (Some(Layout::OutIn), false), (None, true), (None, false)] {
        assert_eq!(merged(&w, [2, 3], layout, &[Change::LowRank(sum(flag))]), straight, "{layout:?}");
    }
    // the same W lying (in, out)
    let (across, want) = ([10.0, 40.0, 20.0, 50.0, 30.0, 60.0f32], [11.0, 38.0, 22.0, 46.0, 33.0, 54.0f32]);
    assert_eq!(merged(&across, [3, 2], Some(Layout::InOut), &[Change::LowRank(sum(false))]), want);
    assert_eq!(merged(&across, [3, 2], None, &[Change::LowRank(sum(false))]), want);
    // a table (V, d) = (3, 2), whoever reads it as (out, in)
    let table = LowRank { table: true, ..sum(false) };
    assert_eq!(merged(&across, [3, 2], Some(Layout::OutIn), &[Change::LowRank(table)]), want);
}

#[test]
fn a_square_matrix_lies_as_its_reader_says_else_as_the_flag_does() {
    // B A = [[1, 2], [10, 20]]
    let sum = |fan_in_fan_out| {
        [Change::LowRank(LowRank { a: vec![1.0, 2.0], b: vec![1.0, 10.0], scale: 1.0, fan_in_fan_out, ..low(1, (2, 2), false) })]
    };
    let (straight, across) = ([1.0, 2.0, 10.0, 20.0f32], [1.0, 10.0, 2.0, 20.0f32]);
    for flag in [false, true] {
        assert_eq!(merged(&[0.0; 4], [2, 2], Some(Layout::OutIn), &sum(flag)), straight);
        assert_eq!(merged(&[0.0; 4], [2, 2], Some(Layout::InOut), &sum(flag)), across);
    }
    assert_eq!(merged(&[0.0; 4], [2, 2], None, &sum(false)), straight);
    assert_eq!(merged(&[0.0; 4], [2, 2], None, &sum(true)), across);
}

#[test]
fn magnitudes_by_hand() {
    // W + B A = [[3, 4], [0, 2]]: norms of rows 5 and 2, of columns 3 and √20
    let sum = || LowRank { a: vec![1.0, 1.0], b: vec![1.0, 0.0], scale: 1.0, magnitude: Some(vec![10.0, 7.0]), ..low(1, (2, 2), false) };
    let rows = merged(&[2.0, 3.0, 0.0, 2.0], [2, 2], Some(Layout::OutIn), &[Change::LowRank(sum())]);
    assert_eq!(rows, [6.0, 8.0, 0.0, 7.0]);
    // lying across, B A adds to the first column: [[2 + 1, 3], [0 + 1, 2]], norms of columns √10 and √13
    let columns = merged(&[2.0, 3.0, 0.0, 2.0], [2, 2], Some(Layout::InOut), &[Change::LowRank(sum())]);
    let f = [10.0 / 10f64.sqrt(), 7.0 / 13f64.sqrt()];
    assert_eq!(columns, [(3.0 * f[0]) as f32, (3.0 * f[1]) as f32, f[0] as f32, (2.0 * f[1]) as f32]);
}

#[test]
fn a_part_is_the_same_wherever_it_begins() {
    // wider than what is summed together
    let (rows, width) = (3, 2 * TOGETHER + 5);
    let base = numbers(rows * width, 3);
    let mut sum = low(2, (rows, width), false);
    sum.magnitude = Some(vec![1.0, 2.0, 3.0]);
    let changes = [Change::LowRank(sum)];
    let base = &&base[..];
    let merged = Merged::new(base, &[rows, width], Some(Layout::OutIn), &changes).unwrap();
    let mut all = vec![0.0; rows * width];
    merged.fill(0, &mut all);
    for (first, n) in [(0, 1), (1, width), (width - 1, 2), (width, width), (TOGETHER - 3, 9), (7, 2 * width), (rows * width - 1, 1), (5, 0)]
    {
        let mut part = vec![0.0; n];
        merged.fill(first, &mut part);
        assert_eq!(part, all[first..first + n], "{first} {n}");
    }
    // and what it should be, summed the long way
    let (sum, at) = (low(2, (rows, width), false), |r: usize, c: usize| r * width + c);
    let wide = |r: usize, c: usize| {
        let products = (0..2).map(|k| f64::from(sum.b[r * 2 + k]) * f64::from(sum.a[k * width + c])).sum::<f64>();
        f64::from(base[at(r, c)]) + 0.75 * products
    };
    for r in 0..rows {
        let norm = (0..width).map(|c| wide(r, c).powi(2)).sum::<f64>().sqrt();
        for c in 0..width {
            let want = wide(r, c) * (r + 1) as f64 / norm;
            assert!((f64::from(all[at(r, c)]) - want).abs() < 1e-7 * want.abs().max(0.01), "{r} {c}");
        }
    }
}

#[test]
fn rows_vectors_and_several_changes() {
    let rows = Change::Rows([(1, vec![5.0, 6.0])].into());
    assert_eq!(merged(&[1.0, 2.0, 3.0, 4.0, 7.0, 8.0], [3, 2], Some(Layout::OutIn), &[rows]), [1.0, 2.0, 5.0, 6.0, 7.0, 8.0]);
    let mut out = vec![0.0; 2];
    let added = [Change::Added(vec![0.5, -1.0, 4.0])];
    Merged::new(&&[1.0, 2.0, 3.0f32][..], &[3], None, &added).unwrap().fill(1, &mut out);
    assert_eq!(out, [1.0, 7.0]);
    let one = || Change::LowRank(LowRank { a: vec![1.0, 2.0], b: vec![1.0, 10.0], scale: 1.0, ..low(1, (2, 2), false) });
    assert_eq!(merged(&[0.5; 4], [2, 2], Some(Layout::OutIn), &[one(), one()]), [2.5, 4.5, 20.5, 40.5]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let fits = |shape: &[usize], layout, table| low(2, (3, 4), table).transposed(shape, layout).is_ok();
    assert!(fits(&[3, 4], Some(Layout::OutIn), false) && fits(&[4, 3], Some(Layout::InOut), false) && fits(&[4, 3], None, false));
    assert!(fits(&[4, 3], Some(Layout::OutIn), true) && fits(&[4, 3], None, true));
    // across what its reader says, though the sizes would fit
    assert!(!fits(&[4, 3], Some(Layout::OutIn), false) && !fits(&[3, 4], Some(Layout::InOut), false));
    for shape in [&[3, 5][..], &[5, 4], &[12], &[3, 4, 1], &[]] {
        assert!(!fits(shape, None, false) && !fits(shape, None, true), "{shape:?}");
    }
    assert!(!fits(&[3, 4], None, true) && !fits(&[3, 4], Some(Layout::OutIn), true));
}
