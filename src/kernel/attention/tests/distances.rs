//! Scores and values that depend on distances.

use super::*;

/// Tables shorter and longer than the distances that are seen, of one head and of all, with values and without, the query's own row anywhere.
#[test]
fn distances_count_as_the_definition_says() {
    let mut dice = Dice(11);
    let shapes = [(1, 1), (3, 40), (2, 64), (1, 80), (2, 17)];
    let mut jobs = 0;
    for round in 0..120 {
        let (heads, width) = shapes[round % shapes.len()];
        let d = heads * width;
        let n = [1, 31, 33, 128, 129, 300][dice.roll(6)] + dice.roll(3);
        let t = [1, 2, 4, 7, 50][dice.roll(5)].min(n);
        let precision = [Precision::F32, Precision::Bf16][round / shapes.len() % 2];
        let (main, before) =
            (text(n, (heads, width), precision, 3 * round as u64), text(1 + dice.roll(40), (heads, width), precision, 900));
        let hidden: Vec<usize> =
            (0..[0, 0, 3][dice.roll(3)]).map(|_| dice.roll(n)).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let (of, rows) = ([1, heads][dice.roll(2)], [1, 2, 5, 31, 32, 33, 64, 200, 400][dice.roll(9)]);
        let (table, values) = (noise(rows * of * width, 77), noise(rows * of * width, 78));
        let (q, far_q) = (noise(t * d, 5), noise(t * d, 6));
        let first = dice.roll(n - t + 1);
        let segments =
            Visible::Segments { first, origin: 0, segment: [1, 5, 64, usize::MAX][dice.roll(4)], memory: [0, 3, 150][dice.roll(3)] };
        for visible in [Visible::All, Visible::Causal { first }, segments] {
            let (mut spans, mut stored) = (vec![main.span(visible, &hidden)], vec![(&main.k[..], &main.v[..])]);
            if let Visible::Segments { segment, memory, .. } = visible {
                let origin = -(before.keys.len() as isize);
                spans.insert(0, before.span(Visible::Segments { first, origin, segment, memory }, &[]));
                stored.insert(0, (&before.k, &before.v));
            }
            let job = Job { q: &q, spans };
            if complete(&job, d) {
                jobs += 1;
                let own = dice.roll(rows);
                let far = twin::Far { q: &far_q, rows: &table, values: (dice.roll(2) == 0).then_some(&values), heads: of, own };
                let what =
                    format!("{heads} x {width}, {t} rows, {n} keys, {visible:?}, {hidden:?}, {precision:?}, {rows} distances, own {own}");
                check(&job, &stored, Some(far), (heads, width), [0.3, 2.0][dice.roll(2)], &what);
            }
        }
    }
    assert!(jobs > 250, "{jobs}");
}

#[test]
fn a_row_with_distances_is_the_same_bits_in_any_cut() {
    let (heads, width, n) = (2, 24, 290);
    let d = heads * width;
    let all = text(n, (heads, width), Precision::F32, 1);
    let q = noise(n * d, 9);
    let table = Distances::new((heads, width), &noise(70 * d, 3), Some(&noise(70 * d, 4)));
    for (isa, _) in paths() {
        let visible = |first| Visible::Segments { first, origin: 0, segment: 7, memory: 100 };
        let run = |jobs: &[Job]| {
            let relative: Vec<Relative> = jobs.iter().map(|job| Relative { q: job.q, table: &table, own: 69 }).collect();
            bits(&attend_on(isa, jobs, &relative, (heads, width), 0.2))
        };
        let spans = |first| vec![all.span(visible(first), &[])];
        let whole = run(&[Job { q: &q, spans: spans(0) }]);
        for cut in [1, 3, 4, 13, 128, 200] {
            let jobs: Vec<Job> = q.chunks(cut * d).enumerate().map(|(i, q)| Job { q, spans: spans(i * cut) }).collect();
            assert_eq!(run(&jobs), whole, "cut at {cut}");
        }
        let threads = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        assert_eq!(threads(3).install(|| run(&[Job { q: &q, spans: spans(0) }])), whole);
    }
}
