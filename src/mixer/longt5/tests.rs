use super::*;
use crate::block::Linear;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::mixer::{DistanceBuckets, Relation, Sides, Softmax};
use crate::weights::Store;

const D: usize = 24;
const HEADS: usize = 3;
const WIDTH: usize = 10;
const COUNT: usize = 8;
const FARTHEST: usize = 20;
/// Of the root-mean-square norm.
const EPS: f64 = 1e-6;

/// q, k, v (inner, d) and o (d, inner), and the rows of both tables (buckets, heads).
struct Numbers {
    matrices: [Vec<f32>; 4],
    local: Vec<f32>,
    global: Vec<f32>,
}

fn numbers() -> Numbers {
    let matrix = |seed| noise(HEADS * WIDTH * D, seed).iter().map(|x| x / 3.0).collect();
    Numbers { matrices: [11, 12, 13, 14].map(matrix), local: noise(COUNT * HEADS, 15), global: noise(COUNT * HEADS, 16) }
}

fn projections(n: &Numbers) -> Projections {
    let one = |m: &[f32], shape| Dense::from(Linear::from_packed(Arc::new(Packed::new(m, shape, Layout::OutIn, None))));
    let [q, k, v, o] = &n.matrices;
    let inner = HEADS * WIDTH;
    Projections { q: one(q, (inner, D)), k: one(k, (inner, D)), v: one(v, (inner, D)), out: one(o, (D, inner)) }
}

fn buckets() -> DistanceBuckets {
    DistanceBuckets::new(COUNT, FARTHEST).unwrap()
}

fn biases(rows: &[f32]) -> Arc<Biases> {
    Arc::new(buckets().biases(rows, HEADS, Sides::Both))
}

fn longt5(n: &Numbers, reach: Option<usize>, each: Option<usize>) -> LongT5 {
    let local = LongT5::new(Heads::unscaled(HEADS, WIDTH).unwrap(), projections(n), reach, biases(&n.local));
    // norms of made-up weights multiply by 1
    let norm = LayerNorm::load_root_mean_square(&Arc::new(Store::random(1)).root(), D, EPS).unwrap();
    match each {
        None => local,
        Some(each) => local.with_slots(Slots::new(each, norm, biases(&n.global), "slots".to_owned())),
    }
}

fn read(reader: &dyn Reader, xs: &[f32], lengths: &[usize]) -> Vec<f32> {
    let xs = tensor(xs.to_vec(), (xs.len() / D, D)).unwrap();
    let documents = Documents::new(lengths.to_vec(), Vec::new()).unwrap();
    reader.read(&xs, &documents).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Rows x (n, inputs) times a matrix (outputs, inputs).
fn times(x: &[f64], matrix: &[f32], inputs: usize) -> Vec<f64> {
    let row =
        |x: &[f64]| -> Vec<f64> { matrix.chunks_exact(inputs).map(|m| x.iter().zip(m).map(|(x, m)| x * f64::from(*m)).sum()).collect() };
    x.chunks_exact(inputs).flat_map(row).collect()
}

/// The definition, one query, head and key after the other, in f64.
fn by_hand(n: &Numbers, x: &[f32], reach: usize, each: Option<usize>) -> Vec<f64> {
    let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let tokens = x.len() / D;
    let full = each.map_or(0, |each| tokens / each);
    // the block of a token; of those behind the last full block, that one
    let block = |i: usize| each.map_or(0, |each| if i < full * each { i / each } else { full.saturating_sub(1) });
    let mut slots = Vec::new();
    for s in 0..full {
        let mut sum = [0.0; D];
        for i in (0..tokens).filter(|i| block(*i) == s) {
            (0..D).for_each(|f| sum[f] += x[i * D + f]);
        }
        let size = (sum.iter().map(|x| x * x).sum::<f64>() / D as f64 + EPS).sqrt();
        slots.extend(sum.iter().map(|x| x / size));
    }
    let [q, k, v] = [0, 1, 2].map(|m| times(&x, &n.matrices[m], D));
    let [slot_k, slot_v] = [1, 2].map(|m| times(&slots, &n.matrices[m], D));
    let inner = HEADS * WIDTH;
    let mut mixed = vec![0.0; tokens * inner];
    for i in 0..tokens {
        for h in 0..HEADS {
            let at = |row: usize| row * inner + h * WIDTH..row * inner + (h + 1) * WIDTH;
            let score = |key: &[f64], rows: &[f32], r: isize| -> f64 {
                let dot: f64 = q[at(i)].iter().zip(key).map(|(q, k)| q * k).sum();
                dot + f64::from(rows[buckets().bucket(r, Sides::Both) * HEADS + h])
            };
            let near = (0..tokens).filter(|j| i.abs_diff(*j) <= reach);
            let tokens = near.map(|j| (score(&k[at(j)], &n.local, j as isize - i as isize), &v[at(j)]));
            let slots = (0..full).map(|s| (score(&slot_k[at(s)], &n.global, s as isize - block(i) as isize), &slot_v[at(s)]));
            let seen: Vec<(f64, &[f64])> = tokens.chain(slots).collect();
            let sum: f64 = seen.iter().map(|(score, _)| score.exp()).sum();
            for (score, value) in seen {
                mixed[at(i)].iter_mut().zip(value).for_each(|(m, v)| *m += score.exp() / sum * v);
            }
        }
    }
    times(&mixed, &n.matrices[3], inner)
}

/// Windows, and slots of blocks that fit the text, leave orphans, are longer than it, or of one token.
#[test]
fn as_defined() {
    let n = numbers();
    for (reach, each) in [(3, None), (200, None), (0, None), (3, Some(4)), (5, Some(16)), (0, Some(3)), (2, Some(1)), (200, Some(5))] {
        let mixer = longt5(&n, Some(reach), each);
        for tokens in [1, 3, 4, 5, 15, 16, 17, 31, 32, 47, 64, 101] {
            let xs = noise(tokens * D, tokens as u64);
            let (got, want) = (read(&mixer, &xs, &[tokens]), by_hand(&n, &xs, reach, each));
            let worst = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(worst < 2e-6, "{tokens} tokens, reach {reach}, blocks of {each:?}: {worst:e}");
        }
    }
}

/// Where a window holds the text, it is T5's attention, and slots of blocks longer than it are none.
#[test]
fn a_window_over_everything_is_t5() {
    let n = numbers();
    let t5 = Softmax::new(Heads::unscaled(HEADS, WIDTH).unwrap(), projections(&n)).with_relation(Relation::Biases(biases(&n.local)));
    let lengths = [1, 40, 17];
    let xs = noise(58 * D, 3);
    let full = read(&t5, &xs, &lengths);
    for (reach, each) in [(Some(39), None), (None, None), (Some(39), Some(41)), (None, Some(41))] {
        assert!(read(&longt5(&n, reach, each), &xs, &lengths) == full, "reach {reach:?}, blocks of {each:?}");
    }
    for (reach, each) in [(Some(38), None), (None, Some(40))] {
        assert!(read(&longt5(&n, reach, each), &xs, &lengths) != full, "reach {reach:?}, blocks of {each:?}");
    }
}

/// A document reads the same alone and among others, to the last bit.
#[test]
fn company_changes_no_bits() {
    let mixer = longt5(&numbers(), Some(6), Some(4));
    let lengths = [3, 50, 1, 22, 4];
    let xs = noise(80 * D, 5);
    let together = read(&mixer, &xs, &lengths);
    let documents = Documents::new(lengths.to_vec(), Vec::new()).unwrap();
    for r in documents.ranges() {
        let rows = r.start * D..r.end * D;
        assert!(read(&mixer, &xs[rows.clone()], &[r.len()]) == together[rows], "{} tokens", r.len());
    }
}

#[test]
fn slots_are_counted() {
    let n = numbers();
    let with = longt5(&n, Some(6), Some(16));
    assert_eq!([15, 16, 16_384].map(|n| with.ran(n).unwrap()), ["slots: 0", "slots: 1", "slots: 1024"]);
    let without = longt5(&n, Some(6), None);
    assert_eq!(without.ran(100), None);
    assert_eq!(with.work_bytes(33) - without.work_bytes(33), 2 * (2 * D + 4 * HEADS * WIDTH) * size_of::<f32>());
}
