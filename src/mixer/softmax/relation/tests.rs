use super::*;
use crate::block::{Dense, Linear, Projections};
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::tensor;
use crate::kernel::testing::noise;
use crate::mixer::{Documents, Mixer, Reader, Softmax};

const D: usize = 12;
const HEADS: usize = 3;
const WIDTH: usize = 4;

fn dense(w: &[f32]) -> Dense {
    Linear::from_packed(Arc::new(Packed::new(w, (D, D), Layout::OutIn, None))).into()
}

/// Softmax attention with a relation; the output projection is the identity.
fn softmax(relation: Relation) -> Softmax {
    let identity: Vec<f32> = (0..D * D).map(|i| if i % (D + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let w = |seed| dense(&noise(D * D, seed));
    let plain = Softmax::new(Heads::new(D, HEADS).unwrap(), Projections { q: w(1), k: w(2), v: w(3), out: dense(&identity) });
    Softmax { relation: Some(relation), ..plain }
}

fn product(seed: u64, x: &[f32]) -> Vec<f64> {
    let w = noise(D * D, seed);
    w.chunks_exact(D).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()).collect()
}

/// The definition in f64: `score` and `value` of a head, query and key, before the scale.
type Pair<'a> = &'a dyn Fn(usize, (usize, &[f64]), (usize, &[f64], &[f64])) -> (f64, Vec<f64>);

fn definition(x: &[f32], causal: bool, pair: Pair) -> Vec<f64> {
    let rows: Vec<[Vec<f64>; 3]> = x.chunks_exact(D).map(|x| [product(1, x), product(2, x), product(3, x)]).collect();
    let mut out = Vec::new();
    for i in 0..rows.len() {
        for h in 0..HEADS {
            let part = |x: &[f64]| x[h * WIDTH..(h + 1) * WIDTH].to_vec();
            let seen = if causal { i + 1 } else { rows.len() };
            let pairs: Vec<(f64, Vec<f64>)> = (0..seen)
                .map(|j| {
                    let (s, v) = pair(h, (i, &part(&rows[i][0])), (j, &part(&rows[j][1]), &part(&rows[j][2])));
                    ((s / (WIDTH as f64).sqrt()).exp(), v)
                })
                .collect();
            let total: f64 = pairs.iter().map(|p| p.0).sum();
            out.extend((0..WIDTH).map(|f| pairs.iter().map(|(p, v)| p * v[f]).sum::<f64>() / total));
        }
    }
    out
}

fn check(relation: &Relation, both: bool, pair: Pair) {
    let (n, softmax) = (50, softmax(relation.clone()));
    let x = noise(n * D, 9);
    let close = |got: Vec<f32>, want: Vec<f64>| {
        assert_eq!(got.len(), want.len());
        got.iter().zip(&want).for_each(|(got, want)| assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}"));
    };
    let mut memory = Mixer::memory(&softmax, 1).unwrap();
    let causal = [&x[..20 * D], &x[20 * D..]].map(|x| {
        let xs = tensor(x.to_vec(), (1, x.len() / D, D)).unwrap();
        softmax.forward(&xs, &mut memory).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    });
    close(causal.concat(), definition(&x, true, pair));
    if both {
        let documents = Documents::new(vec![20, 30], vec![]).unwrap();
        let read = softmax.read(&tensor(x.clone(), (n, D)).unwrap(), &documents).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        close(read, [definition(&x[..20 * D], false, pair), definition(&x[20 * D..], false, pair)].concat());
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn rotary_turns_queries_and_keys() {
    for style in [RotaryStyle::Half, RotaryStyle::Interleaved] {
        let turned = |p: usize, x: &[f64]| -> Vec<f64> {
            let mut out = x.to_vec();
            for l in 0..WIDTH / 2 {
                let (a, b) = if style == RotaryStyle::Half { (l, l + WIDTH / 2) } else { (2 * l, 2 * l + 1) };
                let (sine, cosine) = (p as f64 * 300f64.powf(-2.0 * l as f64 / WIDTH as f64)).sin_cos();
                (out[a], out[b]) = (x[a] * cosine - x[b] * sine, x[b] * cosine + x[a] * sine);
            }
            out
        };
        check(&Relation::Turned(Rotary::new(WIDTH, 300.0, style).unwrap()), true, &|_, (i, q), (j, k, v)| {
            (dot(&turned(i, q), &turned(j, k)), v.to_vec())
        });
    }
}

#[test]
fn shaw_adds_to_keys_and_values() {
    for k in [1, 6, 200] {
        let (keys, values) = (noise((2 * k + 1) * WIDTH, 4), noise((2 * k + 1) * WIDTH, 5));
        let table = Table { rows: Arc::new(Distances::new((1, WIDTH), &keys, Some(&values))), own: k, numbers: 0 };
        check(&Relation::Table(table), true, &|_, (i, q), (j, key, v)| {
            let c = (j as isize - i as isize).clamp(-(k as isize), k as isize) + k as isize;
            let row = |x: &[f32]| wide(&x[c as usize * WIDTH..][..WIDTH]);
            (dot(q, key) + dot(q, &row(&keys)), v.iter().zip(row(&values)).map(|(v, a)| v + a).collect())
        });
    }
}

#[test]
fn music_adds_to_scores_of_each_head() {
    for n in [1, 12, 80] {
        let stored = noise(HEADS * n * WIDTH, 4);
        let rows: Vec<f32> = (0..n * D).map(|at| stored[((at % D / WIDTH) * n + at / D) * WIDTH + at % WIDTH]).collect();
        let table = Table { rows: Arc::new(Distances::new((HEADS, WIDTH), &rows, None)), own: n - 1, numbers: 0 };
        check(&Relation::Table(table), false, &|h, (i, q), (j, k, v)| {
            let c = (n - 1).saturating_sub(i - j);
            (dot(q, k) + dot(q, &wide(&stored[(h * n + c) * WIDTH..][..WIDTH])), v.to_vec())
        });
    }
}
