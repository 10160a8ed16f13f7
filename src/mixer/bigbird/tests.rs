use super::*;
use crate::block::Linear;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::mixer::Softmax;
use std::sync::Arc;

const HEADS: usize = 3;
const D: usize = 24;

fn projections() -> Projections {
    let one =
        |seed| Linear::from_packed(Arc::new(Packed::new(&noise(D * D, seed), (D, D), Layout::OutIn, Some(noise(D, seed + 1))))).into();
    Projections { q: one(1), k: one(3), v: one(5), out: one(7) }
}

fn bigbird(pattern: Pattern) -> BigBird {
    BigBird::new(Heads::new(D, HEADS).unwrap(), projections(), pattern, 0).unwrap()
}

fn pattern(block: usize, random: usize) -> Pattern {
    Pattern { block, random, draw: Draw::Evaluation, always: false, padded: false }
}

fn read(reader: &dyn Reader, lengths: &[usize]) -> Result<Vec<f32>> {
    let xs: Vec<f32> = lengths.iter().flat_map(|n| noise(n * D, *n as u64)).collect();
    let n = lengths.iter().sum::<usize>();
    let out = reader.read(&tensor(xs, (n, D))?, &Documents::new(lengths.to_vec(), vec![])?)?;
    Ok(out.flatten_all()?.to_vec1()?)
}

/// How often key block `j` counts for row block `i` of `m`, as the table of the reference has it: rows of its concatenation, `random` its last parts.
fn times(i: usize, j: usize, m: usize, random: &[usize]) -> f64 {
    let fixed: &[usize] = match i {
        _ if i == 0 || i == m - 1 => return 1.0,
        1 => &[0, 1, 2, m - 1],
        _ if i == m - 2 => &[0, m - 3, m - 2, m - 1],
        _ => &[0, i - 1, i, i + 1, m - 1],
    };
    fixed.iter().chain(random).filter(|block| **block == j).count() as f64
}

/// One text in f64: every pair of positions, weighed by how often their blocks meet.
fn plain(n: usize, b: usize, random: impl Fn(usize, usize) -> Vec<usize>) -> Vec<f32> {
    padded(n, n, b, random)
}

/// The same for a text that is cut as one of `whole` tokens is.
fn padded(n: usize, whole: usize, b: usize, random: impl Fn(usize, usize) -> Vec<usize>) -> Vec<f32> {
    let Projections { q, k, v, out } = projections();
    let x = noise(n * D, n as u64);
    let [q, k, v] = [q, k, v].map(|p| p.apply(&x));
    let (w, m) = (D / HEADS, whole.div_ceil(b));
    let mut mixed = vec![0.0; n * D];
    for h in 0..HEADS {
        let at = |x: &[f32], i: usize, f: usize| f64::from(x[i * D + h * w + f]);
        for i in 0..n {
            let random = if (1..m - 1).contains(&(i / b)) { random(h, i / b) } else { Vec::new() };
            let often: Vec<f64> = (0..m).map(|block| times(i / b, block, m, &random)).collect();
            let weight = |j: usize| {
                let score: f64 = (0..w).map(|f| at(&q, i, f) * at(&k, j, f)).sum();
                often[j / b] * (score / (w as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..n).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            for f in 0..w {
                mixed[i * D + h * w + f] = (weights.iter().enumerate().map(|(j, p)| p * at(&v, j, f)).sum::<f64>() / sum) as f32;
            }
        }
    }
    out.apply(&mixed)
}

fn far(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn rows_see_the_blocks_of_the_table_as_often_as_it_has_them() {
    for (b, r, n) in [(4, 2, 37), (4, 2, 40), (4, 2, 61), (4, 0, 21), (6, 1, 50), (1, 3, 30), (33, 0, 200), (7, 3, 141), (64, 1, 449)] {
        let got = read(&bigbird(pattern(b, r)), &[n]).unwrap();
        let apart = far(&got, &plain(n, b, |_, _| vec![0; r]));
        assert!(apart < 2e-5, "blocks of {b}, {r} random, {n} tokens: {apart}");
    }
}

#[test]
fn random_blocks_are_those_of_the_table() {
    // the last of them, of 1000 tokens in blocks of 64, draws a short last block, which some heads see twice
    for (b, r, n, positions, seed, layer) in
        [(4, 2, 37, 256, 0, 0), (4, 2, 37, 256, 0, 3), (6, 3, 100, 256, 7, 1), (33, 1, 240, 400, 0, 1), (64, 3, 1000, 4096, 0, 0)]
    {
        let draw = Draw::Paper { seed, positions };
        let reader = BigBird { layer, ..bigbird(Pattern { draw, ..pattern(b, r) }) };
        let sizes = random::Sizes { blocks: usize::div_ceil(n, b), block: b, random: r, positions };
        let table = random::table(seed + layer as u32, HEADS, sizes).unwrap();
        if n == 1000 {
            assert!(table.iter().any(|head| head.contains(&15)) && n % b != 0);
        }
        let got = read(&reader, &[n]).unwrap();
        let apart = far(&got, &plain(n, b, |h, i| table[h][(i - 1) * r..i * r].to_vec()));
        assert!(apart < 2e-5, "blocks of {b}, {r} random, {n} tokens: {apart}");
    }
}

/// A text of (5 + 2r)·b tokens is read with full attention to the bit, one with a token more is not, whatever stands beside it in the batch.
#[test]
fn the_switch_is_the_documents_own() {
    let full = Softmax::new(Heads::new(D, HEADS).unwrap(), projections());
    for draw in [Draw::Evaluation, Draw::Paper { seed: 5, positions: 512 }] {
        let reader = bigbird(Pattern { draw, ..pattern(4, 2) });
        let lengths = [36, 37, 5, 36, 60];
        let (got, all) = (read(&reader, &lengths).unwrap(), read(&full, &lengths).unwrap());
        let mut at = 0;
        for n in lengths {
            let here = at * D..(at + n) * D;
            if draw == Draw::Evaluation {
                assert_eq!(got[here.clone()] == all[here.clone()], n <= 36, "{n} tokens");
            } else {
                // heads by themselves
                assert_eq!(far(&got[here.clone()], &all[here.clone()]) < 1e-5, n <= 36, "{n} tokens");
            }
            assert_eq!(got[here], read(&reader, &[n]).unwrap(), "{n} tokens alone");
            at += n;
        }
    }
}

#[test]
fn what_ran_has_a_name() {
    let own = bigbird(pattern(64, 3));
    assert_eq!(own.ran(704).as_deref(), Some("full"));
    assert_eq!(own.ran(705).as_deref(), Some("bigbird block=64 blocks=12 random=3 plan=evaluation"));
    let paper = Pattern { draw: Draw::Paper { seed: 9, positions: 4096 }, ..pattern(64, 3) };
    assert_eq!(bigbird(paper).ran(3072).as_deref(), Some("bigbird block=64 blocks=48 random=3 plan=paper seed=9"));
    assert_eq!(
        pattern(64, 3).describe().unwrap(),
        "bigbird block=64 random=3 plan=evaluation (block 0 counts 4 times), full up to 704 tokens"
    );
    assert_eq!(paper.describe().unwrap(), "bigbird block=64 random=3 plan=paper seed=9, full up to 704 tokens");
    let always = Pattern { always: true, ..pattern(64, 0) };
    assert_eq!(always.describe().unwrap(), "bigbird block=64 random=0 plan=evaluation (block 0 counts 1 times)");
}

#[test]
fn too_short_for_blocks_is_an_error_where_nothing_else_may_run() {
    let always = bigbird(Pattern { always: true, ..pattern(4, 2) });
    let short = read(&always, &[20, 16]).unwrap_err();
    assert!(short.message().contains("16 tokens are 4 blocks of 4") && short.message().contains("17 tokens"), "{}", short.message());
    // five blocks below the switch are those of the table
    for n in [17, 20, 36] {
        assert!(far(&read(&always, &[n]).unwrap(), &plain(n, 4, |_, _| vec![0; 2])) < 2e-5, "{n}");
    }
    assert_eq!(read(&always, &[37]).unwrap(), read(&bigbird(pattern(4, 2)), &[37]).unwrap());
}

#[test]
fn numbers_beyond_all_texts_are_errors() {
    for (b, r, key) in [(0, 3, "block_size"), (usize::MAX, 3, "block_size"), (64, usize::MAX, "num_random_blocks")] {
        let e = pattern(b, r).switch().unwrap_err();
        assert!(e.message().contains(key) && e.remedy().is_some(), "{}", e.message());
    }
    assert_eq!(pattern(1 << 30, 1 << 30).switch().unwrap(), (5 + (2 << 30)) << 30);
}

/// Blocks behind the end of a document are there and empty, and the longest switches for all.
#[test]
fn the_longest_of_a_batch_cuts_for_all_where_it_is_asked_to() {
    for draw in [Draw::Evaluation, Draw::Paper { seed: 2, positions: 512 }] {
        let reader = bigbird(Pattern { draw, padded: true, ..pattern(4, 2) });
        let table = random::table(2, HEADS, random::Sizes { blocks: 15, block: 4, random: 2, positions: 512 }).unwrap();
        let lengths = [3, 57, 4, 38, 53, 56, 7];
        let got = read(&reader, &lengths).unwrap();
        let mut at = 0;
        for n in lengths {
            let random = |h: usize, i: usize| match draw {
                Draw::Evaluation => vec![0; 2],
                Draw::Paper { .. } => table[h][2 * (i - 1)..2 * i].to_vec(),
            };
            let apart = far(&got[at * D..(at + n) * D], &padded(n, 57, 4, random));
            assert!(apart < 2e-5, "{n} tokens, {draw}: {apart}");
            at += n;
        }
        let short = bigbird(Pattern { padded: false, ..reader.pattern });
        assert_eq!(read(&reader, &[30, 36]).unwrap(), read(&short, &[30, 36]).unwrap());
    }
}
