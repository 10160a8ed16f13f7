use super::*;
use crate::block::Linear;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::memory::{AnyMemory, Memory};
use std::collections::BTreeMap;
use std::sync::Arc;

fn linear(d: usize, seed: u64) -> Dense {
    Linear::from_packed(Arc::new(Packed::new(&noise(d * d, seed), (d, d), Layout::OutIn, Some(noise(d, seed + 1))))).into()
}

fn hashing(rounds: usize, buckets: usize, chunk: usize, before: usize) -> Hashing {
    Hashing { rounds, buckets, chunk, before, after: before, seed: 3 }
}

/// Of noise; with `share` without keys of its own.
fn lsh(d: usize, heads: usize, hashing: Hashing, share: bool) -> Lsh {
    let k = if share { None } else { Some(linear(d, 3)) };
    Lsh::dense(Heads::new(d, heads).unwrap(), hashing, (linear(d, 1), k, linear(d, 5), linear(d, 7))).unwrap()
}

fn close(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// Full attention with queries as keys, from what goes into the heads, in f64 and as the equation says; `sees(i, j)`.
fn full(q: &[f32], v: &[f32], (d, width): (usize, usize), sees: impl Fn(usize, usize) -> bool) -> Vec<f64> {
    let n = q.len() / d;
    let at = |x: &[f32], p: usize, h: usize, f: usize| f64::from(x[p * d + h * width + f]);
    let mut out = vec![0.0; n * d];
    for h in 0..d / width {
        for i in 0..n {
            let score = |j: usize| {
                let mean = (0..width).map(|f| at(q, j, h, f).powi(2)).sum::<f64>() / width as f64;
                let product: f64 = (0..width).map(|f| at(q, i, h, f) * at(q, j, h, f)).sum();
                product / (mean + 1e-6).sqrt() / (width as f64).sqrt() - if i == j { 1e5 } else { 0.0 }
            };
            let seen: Vec<usize> = (0..n).filter(|j| sees(i, *j)).collect();
            let most = seen.iter().map(|j| score(*j)).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = seen.iter().map(|j| (score(*j) - most).exp()).sum();
            for f in 0..width {
                out[i * d + h * width + f] = seen.iter().map(|j| (score(*j) - most).exp() / sum * at(v, *j, h, f)).sum();
            }
        }
    }
    out
}

#[test]
fn a_single_bucket_and_a_window_over_everything_are_full_attention() {
    let (d, n) = (24, 43);
    let x = noise(n * d, 9);
    for (rounds, buckets, chunk, before) in [(1, 1, 64, 0), (2, 1, 22, 1), (3, 1, 43, 1), (1, 1, 9, 8)] {
        for share in [true, false] {
            let lsh = lsh(d, 3, hashing(rounds, buckets, chunk, before), share);
            let [q, v] = lsh.project(&x, &mut lsh.history(1));
            let mut row = Row::new(&lsh.heads, &lsh.hashing, Precision::F32);
            let got = lsh.causal(&q, &v, &mut row);
            assert!(close(&got, &full(&q, &v, (d, 8), |i, j| j <= i)) < 1e-5, "{chunk} causal");
            let got = lsh.documents([&q, &v], &Documents::new(vec![n], vec![]).unwrap());
            assert!(close(&got, &full(&q, &v, (d, 8), |_, _| true)) < 1e-5, "{chunk} both ways");
        }
    }
    // an encoder whose chunks hold all positions sees them all, whatever their buckets
    for (rounds, buckets, chunk) in [(1, 2, 43), (2, 2, 86), (2, 6, 43)] {
        let lsh = lsh(d, 3, hashing(rounds, buckets, chunk, 0), true);
        let [q, v] = lsh.project(&x, &mut lsh.history(1));
        let got = lsh.documents([&q, &v], &Documents::new(vec![n], vec![]).unwrap());
        assert!(close(&got, &full(&q, &v, (d, 8), |_, _| true)) < 1e-5, "{buckets} buckets");
    }
}

/// One round of the windowed form, from its definition: the latest positions of the query's bucket.
#[test]
fn a_decoder_sees_the_latest_of_its_bucket() {
    let (d, n) = (24, 90);
    let x = noise(n * d, 2);
    let lsh = lsh(d, 3, hashing(1, 4, 5, 1), true);
    let [q, v] = lsh.project(&x, &mut lsh.history(1));
    let buckets = lsh.rotations.buckets(&q); // (n, h, 1)
    let mut row = Row::new(&lsh.heads, &lsh.hashing, Precision::F32);
    let got = lsh.causal(&q, &v, &mut row);
    for h in 0..3 {
        let bucket = |p: usize| buckets[p * 3 + h];
        assert!((0..4).all(|b| (0..n).any(|p| bucket(p) == b)), "a bucket is empty");
        let sees = |i: usize, j: usize| j <= i && bucket(i) == bucket(j) && (j..i).filter(|p| bucket(*p) == bucket(i)).count() <= 10;
        let want = full(&q, &v, (d, 8), sees);
        let own = |p: usize| p * d + h * 8..p * d + (h + 1) * 8;
        for p in 0..n {
            assert!(close(&got[own(p)], &want[own(p)]) < 1e-5, "head {h}, position {p}");
        }
    }
}

#[test]
fn a_mixer_keeps_its_promises() {
    let (d, n) = (24, 50);
    for (share, cache) in [(true, Precision::F32), (false, Precision::Bf16)] {
        let lsh = lsh(d, 3, hashing(2, 4, 3, 1), share).with_cache(cache);
        let x = noise(2 * n * d, 4);
        let run = |memory: &mut Buckets, x: &[f32], rows: usize| {
            let xs = tensor(x.to_vec(), (rows, x.len() / d / rows, d)).unwrap();
            Mixer::forward(&lsh, &xs, memory).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let mut both = Mixer::memory(&lsh, 2).unwrap();
        Memory::reserve(&mut both, n);
        let whole = run(&mut both, &x, 2);
        assert_eq!(Memory::bytes(&both), 2 * lsh.bytes_at(n));
        for (r, x) in x.chunks(n * d).enumerate() {
            for cut in [1, 7, 49] {
                let mut alone = Mixer::memory(&lsh, 1).unwrap();
                let parts: Vec<f32> = x.chunks(cut * d).flat_map(|x| run(&mut alone, x, 1)).collect();
                assert_eq!(parts, whole[r * n * d..(r + 1) * n * d], "cut {cut} of row {r}");
            }
        }
        let mut picked = both.clone();
        Memory::select(&mut picked, &[1, 0, 1]).unwrap();
        let next = noise(2 * d, 8);
        let (a, b) = (run(&mut both, &next, 2), run(&mut picked, &[&next[d..], &next].concat()[..3 * d], 3));
        assert_eq!((&b[..d], &b[d..2 * d]), (&a[d..], &a[..d]));
        let mut joined: Box<dyn AnyMemory> = Box::new(Mixer::memory(&lsh, 0).unwrap());
        joined.join(vec![Box::new(both), Box::new(picked)]).unwrap();
        assert_eq!(joined.bytes(), 5 * lsh.bytes_at(n + 1));
    }
}

/// What the head of the module says: how far the two forms are from each other.
#[test]
fn the_windowed_form_is_not_the_sorted_one() {
    let (n, width) = (512, 16);
    let lsh = lsh(width, 1, Hashing { after: 0, ..hashing(2, 8, 32, 1) }, true);
    let (q, v) = (noise(n * width, 1), noise(n * width, 2));
    let mut row = Row::new(&lsh.heads, &lsh.hashing, Precision::F32);
    let window = lsh.causal(&q, &v, &mut row);
    let found = lsh.rotations.buckets(&q);
    let buckets: Vec<u32> = (0..2).flat_map(|r| (0..n).map(move |p| p * 2 + r)).map(|at| found[at]).collect();
    let sorted = sorted::attend(&lsh.hashing, sorted::Rows { q: &q, k: lsh.keys(&q), v, buckets: &buckets }, width, true);
    let square = |x: f32| f64::from(x).powi(2);
    let (apart, size): (f64, f64) =
        window.iter().zip(&sorted).fold((0.0, 0.0), |sums, (w, s)| (sums.0 + square(w - s), sums.1 + square(*s)));
    let apart = (apart / size).sqrt();
    assert!((apart - 0.39).abs() < 0.005, "{apart}");
}

/// The reference's rotations, buckets and outputs (`fixtures/trax-lsh/reference.py`).
#[test]
fn the_sorted_form_is_the_references() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trax-lsh/lsh.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let cases: BTreeMap<String, serde_json::Value> = serde_json::from_str(&header.metadata().as_ref().unwrap()["cases"]).unwrap();
    assert_eq!(cases.len(), 4);
    for (name, sizes) in cases {
        let raw = |key: &str| file.tensor(&format!("{name}.{key}")).unwrap().data().to_vec();
        let get = |key: &str| -> Vec<f32> { raw(key).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect() };
        let size = |key: &str| sizes[key].as_u64().unwrap() as usize;
        let (n, d, h, w) = (size("n"), size("d"), size("n_heads"), size("width"));
        let hashing = Hashing {
            rounds: size("n_hashes"),
            buckets: size("n_buckets"),
            chunk: size("chunk_len"),
            before: size("n_chunks_before"),
            after: size("n_chunks_after"),
            seed: 0,
        };
        let heads = Heads { count: h, width: w, scale: (w as f32).powf(-0.5) };
        let one = |key: &str, i: usize| {
            let numbers = get(key);
            let part = numbers.len() / h;
            numbers[i * part..(i + 1) * part].to_vec()
        };
        let rotations = Rotations::given((0..h).map(|i| one("rotations", i)).collect(), w, hashing.rounds);
        let mut y = vec![0.0f32; n * d];
        for i in 0..h {
            let into = |key: &str| Packed::new(&one(key, i), (w, d), Layout::InOut, None).apply(&get("x"));
            let (q, v) = (into("w_q"), into("w_v"));
            let own = Rotations::given(vec![one("rotations", i)], w, hashing.rounds);
            let found = own.buckets(&q);
            let buckets: Vec<u32> =
                (0..hashing.rounds).flat_map(|r| (0..n).map(move |p| (p, r))).map(|(p, r)| found[p * hashing.rounds + r]).collect();
            let want: Vec<u32> = raw("buckets").as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect();
            let here = hashing.rounds * n;
            assert_eq!(buckets, want[i * here..(i + 1) * here], "{name}: buckets of head {i}");
            let lsh = Lsh { heads, ..lsh(w, 1, hashing, true) };
            let rows = sorted::Rows { q: &q, k: lsh.keys(&q), v, buckets: &buckets };
            let mixed = sorted::attend(&hashing, rows, w, sizes["causal"] == true);
            let out = Packed::new(&one("w_o", i), (d, w), Layout::InOut, None).apply(&mixed);
            y.iter_mut().zip(out).for_each(|(y, out)| *y += out);
        }
        let want: Vec<f64> = get("y").into_iter().map(f64::from).collect();
        assert!(close(&y, &want) < 1e-5, "{name}: {}", close(&y, &want));
        // the whole layer, as an encoder has it
        if sizes["causal"] == false {
            let by_heads = |key: &str| {
                (0..h)
                    .flat_map(|i| {
                        let numbers = one(key, i);
                        (0..w).flat_map(move |o| (0..d).map(move |at| at * w + o)).map(move |at| numbers[at]).collect::<Vec<f32>>()
                    })
                    .collect::<Vec<f32>>()
            };
            let inner =
                |key: &str| Dense::from(Linear::from_packed(Arc::new(Packed::new(&by_heads(key), (h * w, d), Layout::OutIn, None))));
            let out = Linear::from_packed(Arc::new(Packed::new(&get("w_o"), (d, h * w), Layout::InOut, None))).into();
            let inputs = Inputs::Dense { q: inner("w_q"), k: None, v: inner("w_v"), out };
            let whole = Lsh { heads, hashing, rotations, inputs, cache: Precision::F32 };
            let xs = tensor(get("x"), (n, d)).unwrap();
            let read = whole.read(&xs, &Documents::new(vec![n], vec![]).unwrap()).unwrap();
            assert!(close(&read.flatten_all().unwrap().to_vec1::<f32>().unwrap(), &want) < 1e-5, "{name}: as a reader");
        }
    }
}
