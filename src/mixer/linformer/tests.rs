use super::*;
use crate::block::Linear;
use crate::kernel::lengthwise::Lengthwise;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;

const D: usize = 10;
const K: usize = 5;
const N: usize = 12;

fn dense(outputs: usize, seed: u64) -> (Vec<f32>, Vec<f32>, Dense) {
    let (w, b) = (noise(outputs * D, seed), noise(outputs, seed + 50));
    let packed = Packed::new(&w, (outputs, D), Layout::OutIn, Some(b.clone()));
    (w, b, Linear::from_packed(Arc::new(packed)).into())
}

fn identity(n: usize) -> Dense {
    let one: Vec<f32> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
    Linear::from_packed(Arc::new(Packed::new(&one, (n, n), Layout::OutIn, None))).into()
}

fn matrix(seed: u64) -> (Vec<f32>, Arc<Squeeze>) {
    let e = noise(K * N, seed);
    let pack = |range: std::ops::Range<usize>| {
        let part: Vec<f32> = e.chunks_exact(N).flat_map(|row| &row[range.clone()]).copied().collect();
        Packed::new(&part, (K, range.len()), Layout::OutIn, None)
    };
    let packed = Lengthwise::new((K, N), None, pack);
    (e, Arc::new(Squeeze::Matrix(packed)))
}

/// Eq. 7 in f64, head by head: softmax(q (E k)ᵀ / √w) F v with q, k, v = W x + b, or k = W E x + b.
#[test]
fn is_its_definition_with_every_way_of_sharing() {
    let wide = |x: &f32| f64::from(*x);
    for (heads, w, shared_keys) in [(2, 5, false), (2, 5, true), (1, 10, false), (5, 2, false)] {
        for (each, both) in [(false, false), (true, false), (false, true)] {
            for when in [When::Keys, When::Inputs] {
                let (inner, kept) = (heads * w, if shared_keys { w } else { heads * w });
                let [(wq, bq, q), (wk, bk, k), (wv, bv, v)] = [dense(inner, 1), dense(kept, 2), dense(kept, 3)];
                let count = if each && !shared_keys { heads } else { 1 };
                let e: Vec<_> = (0..count).map(|h| matrix(10 + h as u64)).collect();
                let f: Vec<_> = (0..count).map(|h| matrix(if both { 10 } else { 20 } + h as u64)).collect();
                let only = |all: &[(Vec<f32>, Arc<Squeeze>)]| all.iter().map(|m| m.1.clone()).collect::<Vec<_>>();
                let reader = Linformer {
                    heads: Heads { count: heads, width: w, scale: (w as f32).powf(-0.5) },
                    q,
                    k,
                    v: Some(v),
                    out: identity(inner),
                    squeeze: (only(&e), (!both).then(|| only(&f))),
                    when,
                    visible: Visible::All,
                };
                for n in [1, 7, N] {
                    let x = noise(n * D, 30 + n as u64);
                    let documents = Documents::new(vec![n], vec![]).unwrap();
                    let got = reader.read(&tensor(x.clone(), (n, D)).unwrap(), &documents).unwrap().to_vec2::<f32>().unwrap();
                    // feature o of W x(p) + b, or of W Σ_p m(i, p) x(p) + b
                    let of = |wt: &[f32], b: f64, o: usize, x: &dyn Fn(usize) -> f64| {
                        (0..D).map(|c| wide(&wt[o * D + c]) * x(c)).sum::<f64>() + b
                    };
                    let row = |m: &[f32], wt: &[f32], b: &[f32], i: usize, o: usize| -> f64 {
                        let sum = |term: &dyn Fn(usize) -> f64| (0..n).map(|p| wide(&m[i * N + p]) * term(p)).sum::<f64>();
                        match when {
                            When::Keys => sum(&|p| of(wt, wide(&b[o]), o, &|c| wide(&x[p * D + c]))),
                            When::Inputs => of(wt, wide(&b[o]), o, &|c| sum(&|p| wide(&x[p * D + c]))),
                        }
                    };
                    for (p, h) in (0..n).flat_map(|p| (0..heads).map(move |h| (p, h))) {
                        let (own, at) = (h % count, if shared_keys { 0 } else { h * w });
                        let q = |c: usize| of(&wq, wide(&bq[h * w + c]), h * w + c, &|i| wide(&x[p * D + i]));
                        let score = |i: usize| (0..w).map(|c| q(c) * row(&e[own].0, &wk, &bk, i, at + c)).sum::<f64>() / (w as f64).sqrt();
                        let weights: Vec<f64> = (0..K).map(|i| score(i).exp()).collect();
                        for c in 0..w {
                            let value = |i: usize| row(&f[own].0, &wv, &bv, i, at + c);
                            let want = (0..K).map(|i| weights[i] * value(i)).sum::<f64>() / weights.iter().sum::<f64>();
                            let got = f64::from(got[p][h * w + c]);
                            assert!((got - want).abs() < 2e-4, "{heads} {each} {both} {when:?} {n}: {got} and not {want}");
                        }
                    }
                }
            }
        }
    }
}

/// A window's row is the convolution's output there; what fills no window counts for nothing.
#[test]
fn windows_are_a_convolution() {
    let (w, window) = (3, 4);
    let weight = noise(w * w * window, 1); // (out, position, in)
    let conv = Linear::from_packed(Arc::new(Packed::new(&weight, (w, w * window), Layout::OutIn, None)));
    let x = noise(11 * w, 2);
    let got = Squeeze::Windows(conv).apply(&x, w);
    assert_eq!(got.len(), 2 * w);
    for (t, o) in (0..2).flat_map(|t| (0..w).map(move |o| (t, o))) {
        let want: f32 = (0..window * w).map(|i| weight[o * window * w + i] * x[t * window * w + i]).sum();
        assert!((got[t * w + o] - want).abs() < 1e-5);
    }
}
