use super::*;
use crate::block::Linear;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::mixer::Softmax;
use std::sync::Arc;

const HEADS: usize = 3;
const D: usize = 24;

/// Queries, keys, values, output: each (d, d).
fn weights() -> [Vec<f32>; 4] {
    [1, 2, 3, 4].map(|seed| noise(D * D, seed).iter().map(|x| x / 3.0).collect())
}

fn attention(globals: usize) -> PegasusX {
    let [q, k, v, out] = weights().map(|w| Linear::from_packed(Arc::new(Packed::new(&w, (D, D), Layout::OutIn, None))).into());
    PegasusX::new(Heads::new(D, HEADS).unwrap(), Projections { q, k, v, out }, globals)
}

/// Rows of the stream: the documents' global rows, then their tokens.
fn stream(lengths: &[usize], globals: usize) -> Tensor {
    let rows = lengths.len() * globals + lengths.iter().sum::<usize>();
    tensor(noise(rows * D, 9), (rows, D)).unwrap()
}

fn read(attention: &PegasusX, lengths: &[usize]) -> Vec<f32> {
    let documents = Documents::new(lengths.to_vec(), vec![]).unwrap();
    let out = attention.read(&stream(lengths, attention.globals), &documents).unwrap();
    out.flatten_all().unwrap().to_vec1().unwrap()
}

/// A row of one document: a global row, or the token at a position.
#[derive(Clone, Copy)]
enum Row {
    Global,
    Token(usize),
}

/// The definition, in f64, a pair of rows at a time: `sees` says of every two whether the first looks at the second.
fn definition(lengths: &[usize], g: usize, sees: impl Fn(Row, Row) -> bool) -> Vec<f64> {
    let xs: Vec<f64> = stream(lengths, g).flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    let [q, k, v, out] = weights();
    let times = |x: &[f64], w: &[f32]| -> Vec<f64> {
        w.chunks_exact(D).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
    };
    let project = |w: &[f32]| xs.chunks_exact(D).map(|x| times(x, w)).collect::<Vec<_>>();
    let (q, k, v) = (project(&q), project(&k), project(&v));
    let mut y = vec![0.0; xs.len()];
    let (mut first, width) = (lengths.len() * g, D / HEADS);
    for (doc, n) in lengths.iter().enumerate() {
        let globals = (doc * g..(doc + 1) * g).map(|at| (at, Row::Global));
        let rows: Vec<(usize, Row)> = globals.chain((0..*n).map(|p| (first + p, Row::Token(p)))).collect();
        first += n;
        for (i, row) in &rows {
            let seen: Vec<usize> = rows.iter().filter(|(_, other)| sees(*row, *other)).map(|(j, _)| *j).collect();
            let mut mixed = vec![0.0; D];
            for h in (0..D).step_by(width) {
                let score = |j: &usize| (h..h + width).map(|f| q[*i][f] * k[*j][f]).sum::<f64>() / (width as f64).sqrt();
                let powers: Vec<f64> = seen.iter().map(|j| score(j).exp()).collect();
                let total: f64 = powers.iter().sum();
                for f in h..h + width {
                    mixed[f] = seen.iter().zip(&powers).map(|(j, p)| p / total * v[*j][f]).sum();
                }
            }
            y[i * D..(i + 1) * D].copy_from_slice(&times(&mixed, &out));
        }
    }
    y
}

/// Even and odd layers, a short block at the end, texts shorter than a block and than half of one, whole blocks, with and without global rows.
#[test]
fn blocks_and_global_rows_follow_the_definition() {
    let (short, long) = ([23, 1, 4, 10, 40, 5, 6, 15], [1, 150, 9]);
    let cases = [(10, 0, &short[..]), (10, 1, &short), (10, 3, &short), (2, 3, &short), (130, 33, &long)];
    for (size, globals, lengths) in cases {
        for shift in [0, size / 2] {
            let got = read(&attention(globals).with_blocks(size, shift > 0).unwrap(), lengths);
            let want = definition(lengths, globals, |row, other| match (row, other) {
                (Row::Token(i), Row::Token(j)) => (i + shift) / size == (j + shift) / size,
                _ => true,
            });
            let worst = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(worst < 2e-6, "blocks of {size}, {globals} global rows, shift {shift}: {worst:e}");
        }
    }
}

#[test]
fn a_block_over_everything_is_full_attention() {
    let lengths = [40, 1, 17];
    let everything = read(&attention(3), &lengths);
    for (size, staggered) in [(40, false), (1 << 40, false), (80, true), (usize::MAX - 1, true)] {
        assert!(read(&attention(3).with_blocks(size, staggered).unwrap(), &lengths) == everything, "{size} {staggered}");
    }
    assert!(read(&attention(3).with_blocks(78, true).unwrap(), &lengths) != everything);
    // and without global rows that of every other encoder
    let plain = Softmax::new(Heads::new(D, HEADS).unwrap(), attention(0).projections);
    let documents = Documents::new(lengths.to_vec(), vec![]).unwrap();
    let softmax: Vec<f32> = plain.read(&stream(&lengths, 0), &documents).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(read(&attention(0), &lengths) == softmax);
}

#[test]
fn blocks_are_counted_and_impossible_ones_refused() {
    let ran = |size, staggered, n| attention(3).named("x".to_owned()).with_blocks(size, staggered).unwrap().ran(n);
    assert_eq!(ran(10, false, 41).as_deref(), Some("x blocks=5"));
    assert_eq!(ran(10, true, 41).as_deref(), Some("x blocks=5"));
    assert_eq!(ran(10, true, 46).as_deref(), Some("x blocks=6"));
    assert_eq!(attention(3).ran(41), None);
    assert!(attention(3).with_blocks(7, false).is_ok());
    for (size, staggered) in [(0, false), (0, true), (7, true)] {
        assert!(attention(3).with_blocks(size, staggered).is_err_and(|e| e.message().contains("`block_size`")), "{size}");
    }
}
