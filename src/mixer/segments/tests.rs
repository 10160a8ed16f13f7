use super::*;
use crate::kernel::linear::Packed;
use crate::kernel::testing::noise;

fn queues(segment: usize, memory: usize, compressed: usize, ratio: usize, padding: Padding) -> Queues {
    Queues { segment, memory, compressed, ratio, padding }
}

/// Every window of the padded rows by the definition, in f64.
fn naive(rows: &[f32], d: usize, c: usize, zeros: usize, f: impl Fn(&[Vec<f64>]) -> Vec<f64>) -> Vec<f64> {
    let pad = vec![vec![0.0; d]; zeros];
    let rows: Vec<Vec<f64>> = pad.into_iter().chain(rows.chunks(d).map(|r| r.iter().map(|x| f64::from(*x)).collect())).collect();
    rows.chunks_exact(c).flat_map(f).collect()
}

#[test]
fn compressions_are_their_definitions() {
    let d = 5;
    for (n, c) in [(0, 3), (1, 1), (6, 3), (7, 3), (8, 3), (2, 4), (13, 5)] {
        for padding in [Padding::Left, Padding::Lucidrains] {
            let q = queues(4, 4, 4, c, padding);
            let rows = noise(n * d, 1);
            let zeros = if padding == Padding::Left { (c - n % c) % c } else { n % c };
            let (weight, bias) = (noise(d * d * c, 2), noise(d, 3));
            let conv = Packed::new(&weight, (d, d * c), Layout::OutIn, Some(bias.clone()));
            let conv = Compress::Conv(Linear::from_packed(Arc::new(conv)));
            let mean = naive(&rows, d, c, zeros, |w| (0..d).map(|f| w.iter().map(|r| r[f]).sum::<f64>() / c as f64).collect());
            let max = naive(&rows, d, c, zeros, |w| (0..d).map(|f| w.iter().map(|r| r[f]).fold(f64::NEG_INFINITY, f64::max)).collect());
            let product = naive(&rows, d, c, zeros, |w| {
                let one = |o: usize| (0..d * c).map(|j| f64::from(weight[(o * d + j / c) * c + j % c]) * w[j % c][j / c]).sum::<f64>();
                (0..d).map(|o| one(o) + f64::from(bias[o])).collect()
            });
            for (how, want) in [(Compress::Mean, mean), (Compress::Max, max), (conv, product)] {
                let got = how.apply(&rows, d, &q);
                assert_eq!(got.len(), want.len(), "{n} {c}");
                assert_eq!(got.len(), q.windows(n) * d);
                assert!(got.iter().zip(&want).all(|(g, w)| (f64::from(*g) - w).abs() < 2e-6), "{n} {c} {got:?} {want:?}");
            }
            let covered: Vec<usize> = q.last_covered(n).collect();
            assert_eq!(covered, (0..q.windows(n)).map(|w| (w + 1) * c - 1 - zeros).collect::<Vec<_>>());
            assert!(padding == Padding::Lucidrains || covered.last().is_none_or(|l| l + 1 == n));
        }
    }
}

#[test]
fn the_most_used_stay_in_their_order_and_the_older_of_equals() {
    assert_eq!(most_used(&[0.5, 2.0, 0.5, 1.0, 0.5], 2), [0, 1, 3]);
    assert_eq!(most_used(&[0.0, 0.0, 0.0], 3), [0]);
    assert_eq!(most_used(&[0.1, 0.2, 0.3], 1), [0, 1, 2]);
    assert_eq!(most_used(&[], 4), [0; 0]);
}

/// The lengths of queues that are pushed row by row.
#[test]
fn lengths_are_those_of_queues_that_are_filled() {
    for padding in [Padding::Left, Padding::Lucidrains] {
        for (segment, memory, compressed, ratio) in
            [(5, 7, 4, 3), (4, 4, 100, 4), (6, 0, 9, 2), (3, 20, 0, 7), (1, 1, 5, 2), (7, 10, 1000, 5)]
        {
            let q = queues(segment, memory, compressed, ratio, padding);
            let (mut mem, mut cmem) = (0usize, 0usize);
            for positions in 0..60 {
                if positions > 0 && positions % segment == 0 {
                    let over = (mem + segment).saturating_sub(memory);
                    let zeros = if padding == Padding::Left { (ratio - over % ratio) % ratio } else { over % ratio };
                    (mem, cmem) = (mem + segment - over, (cmem + (over + zeros) / ratio).min(compressed));
                }
                assert_eq!((q.lengths_at(positions), q.open_at(positions)), ((mem, cmem), positions % segment), "{q:?} {positions}");
            }
        }
    }
}

#[test]
fn rounds_end_at_each_rows_own_boundary() {
    assert_eq!(rounds(&[0, 3, 4], 6, 5), [vec![(0, 0, 5), (1, 0, 2), (2, 0, 1)], vec![(0, 5, 1), (1, 2, 4), (2, 1, 5)]]);
    assert_eq!(rounds(&[9], 1, 5), [[(0, 0, 1)]]);
    assert!(rounds(&[2, 3], 0, 5).is_empty());
}

#[test]
fn lengths_that_make_no_sense_are_refused() {
    let bad = [(0, 1, 1, 1), (1, 1, 1, 0), (usize::MAX, 1, 1, 1), (1, usize::MAX, 1, 1), (1, 1, usize::MAX, 1), (1, 1, 1, usize::MAX)];
    for (segment, memory, compressed, ratio) in bad {
        assert!(queues(segment, memory, compressed, ratio, Padding::Left).checked().is_err());
    }
    assert!(queues(1, 0, 0, 1, Padding::Left).checked().is_ok());
}
