//! Numbers that scores get for distances, and the sets of blocks.

use super::*;

/// The sets of blocks as their documentation defines them, position by position.
#[test]
fn rows_see_the_blocks_that_are_named() {
    for (row, len, size, b) in
        (0..40usize).flat_map(|i| [0, 1, 7, 33].into_iter().flat_map(move |len| (0..36).map(move |s| (i, len, 1 + s / 6, s % 6))))
    {
        let is = |visible: Visible, sees: &dyn Fn(usize) -> bool| {
            let range = visible.range(row, len);
            (0..len).for_each(|j| assert_eq!(range.contains(&j), sees(j), "{visible:?}, row {row}, key {j} of {len}"));
        };
        let shift = b.min(size - 1);
        is(Visible::Own { size, shift }, &|j| (j + shift) / size == (row + shift) / size);
        for to in [0, 1, b, b + 3, 40] {
            is(Visible::Near { size, from: b, to }, &|j| (row / size).abs_diff(j / size) <= 1 && j / size >= b && j / size < to);
        }
        is(Visible::Group { first: b, size, each: 1 + b }, &|j| j / (1 + b) == (b + row) / size);
    }
}

/// Tables shorter and longer than the distances that are seen, rows that stand for blocks, keys that count several times, next to keys without any.
#[test]
fn biases_count_as_the_definition_says() {
    let mut dice = Dice(3);
    let shapes = [(1, 1), (3, 40), (2, 64), (1, 80), (2, 17)];
    let mut jobs = 0;
    for round in 0..120 {
        let (heads, width) = shapes[round % shapes.len()];
        let d = heads * width;
        let n = [1, 31, 33, 128, 129, 300][dice.roll(6)] + dice.roll(3);
        let t = [1, 2, 4, 7, 50][dice.roll(5)].min(n);
        let precision = [Precision::F32, Precision::Bf16][round / shapes.len() % 2];
        let (main, extra) =
            (text(n, (heads, width), precision, 3 * round as u64), text(1 + dice.roll(200), (heads, width), precision, 900));
        let (first, rows) = (dice.roll(n - t + 1), [1, 2, 5, 31, 200, 700][dice.roll(6)]);
        let numbers: Vec<f32> = noise(heads * rows, 77).iter().map(|x| 3.0 * x).collect();
        let table = Biases::new(heads, &numbers, dice.roll(rows));
        let times = Biases::times(heads, 1 + dice.roll(4));
        let hidden = [vec![], vec![0], vec![n / 2, n - 1]][dice.roll(3)].clone();
        let hidden = if n < 4 { vec![] } else { hidden };
        let q = noise(t * d, 5);
        for visible in [Visible::All, Visible::Causal { first }, Visible::Band { reach: dice.roll(60) }] {
            let mut spans = vec![Span { bias: Some(Bias::of(&table, first)), ..main.span(visible, &hidden) }];
            let mut stored = vec![(&main.k[..], &main.v[..])];
            let each = Bias { table: &table, first, each: 1 + dice.roll(20), last: dice.roll(20) };
            for bias in [Some(each), Some(Bias::of(&times, 0)), None].into_iter().filter(|_| dice.roll(2) == 0) {
                spans.push(Span { bias, ..extra.span(Visible::All, &[]) });
                stored.push((&extra.k, &extra.v));
            }
            let job = Job { q: &q, spans };
            if complete(&job, d) {
                jobs += 1;
                let what =
                    format!("{heads} x {width}, {t} rows, {n} keys, {visible:?}, {hidden:?}, {precision:?}, {rows} numbers, {each:?}");
                check(&job, &stored, None, (heads, width), [0.3, 1.0][dice.roll(2)], &what);
            }
        }
    }
    assert!(jobs > 250, "{jobs}");
}

/// Keys that count r times are keys that are there r times.
#[test]
fn keys_that_count_several_times_are_several_keys() {
    let (heads, width) = (2, 24);
    let (a, b) = (text(40, (heads, width), Precision::F32, 1), text(9, (heads, width), Precision::F32, 7));
    let q = noise(5 * heads * width, 5);
    let times = Biases::times(heads, 3);
    let many = Span { bias: Some(Bias::of(&times, 0)), ..b.span(Visible::All, &[]) };
    let once = b.span(Visible::All, &[]);
    let got = attend(&[Job { q: &q, spans: vec![a.span(Visible::All, &[]), many] }], heads, width, 0.3);
    let want = attend(&[Job { q: &q, spans: vec![a.span(Visible::All, &[]), once, once, once] }], heads, width, 0.3);
    got.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
}

/// The number of a pair is that of T5's distance j − i, the ends held.
#[test]
fn a_number_belongs_to_a_distance() {
    let table = Biases::new(2, &[0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 11.0, 12.0, 13.0, 14.0], 2);
    let at = |head, row, key| Bias::of(&table, 0).number(head, row, key) / std::f32::consts::LOG2_E;
    let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} {b}");
    near(at(0, 7, 7), 2.0);
    near(at(1, 7, 8), 13.0);
    near(at(1, 7, 100), 14.0);
    near(at(0, 7, 6), 1.0);
    near(at(0, 7, 0), 0.0);
    let blocks = Bias { table: &table, first: 3, each: 4, last: 2 };
    let at = |row, key| blocks.at(row, key);
    assert_eq!([at(0, 0), at(1, 0), at(1, 1), at(100, 2), at(100, 5)], [2, 1, 2, 2, 4]);
}

#[test]
fn a_row_with_biases_is_the_same_bits_in_any_cut() {
    let (heads, width, n) = (2, 24, 290);
    let d = heads * width;
    let all = text(n, (heads, width), Precision::F32, 1);
    let q = noise(n * d, 9);
    let table = Biases::new(heads, &noise(heads * 70, 3), 69);
    for (isa, _) in paths() {
        let run = |jobs: &[Job]| bits(&attend_on(isa, jobs, &[], (heads, width), 1.0));
        let spans = |first| vec![Span { bias: Some(Bias::of(&table, first)), ..all.span(Visible::Causal { first }, &[]) }];
        let whole = run(&[Job { q: &q, spans: spans(0) }]);
        for cut in [1, 3, 13, 128, 200] {
            let jobs: Vec<Job> = q.chunks(cut * d).enumerate().map(|(i, q)| Job { q, spans: spans(i * cut) }).collect();
            assert_eq!(run(&jobs), whole, "cut at {cut}");
        }
    }
}
