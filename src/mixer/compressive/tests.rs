use super::super::segments::Padding;
use super::super::segments::twin::{Twin, conv, max, mean};
use super::options::Relative;
use super::*;
use crate::block::{Linear, RotaryStyle};
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::memory::Memory;
use crate::mixer::Softmax;
use std::sync::Arc;

const D: usize = 12;
const HEADS: usize = 3;

/// Numbers that leave the size of what they multiply about as it is.
fn scaled(numbers: Vec<f32>) -> Vec<f32> {
    numbers.into_iter().map(|x| 0.5 * x).collect()
}

fn weights() -> [Vec<f32>; 4] {
    [11, 12, 13, 14].map(|seed| scaled(noise(D * D, seed)))
}

fn projections() -> Projections {
    let [q, k, v, out] = weights().map(|w| Linear::from_packed(Arc::new(Packed::new(&w, (D, D), Layout::OutIn, None))).into());
    Projections { q, k, v, out }
}

fn mixer(queues: Queues, compress: Option<Compress>, relative: Option<Relative>, init: InitMem) -> Compressive {
    let heads = Heads::new(D, HEADS).unwrap();
    let rows = queues.segment + queues.memory + queues.compressed;
    let table = || Table::new(&noise(HEADS * rows * heads.width, 21), (HEADS, rows, heads.width));
    Compressive {
        heads,
        d: D,
        projections: projections(),
        queues,
        compress,
        rotary: (relative == Some(Relative::Rotary)).then(|| Rotary::new(heads.width, 10_000.0, RotaryStyle::Half).unwrap()),
        table: (relative == Some(Relative::Learned)).then(table),
        cache: Precision::F32,
        init,
    }
}

/// (n, d) -> (n, d), in calls of `cut` tokens.
fn run(mixer: &impl Mixer, x: &[f32], cut: usize) -> Vec<f32> {
    let mut memory = mixer.memory(1).unwrap();
    let one = |x: &[f32]| {
        let xs = tensor(x.to_vec(), (1, x.len() / D, D)).unwrap();
        mixer.forward(&xs, &mut memory).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    x.chunks(cut * D).flat_map(one).collect()
}

fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max);
    assert!(worst < 5e-6, "{what}: {worst}");
}

/// Every compression with every kind of positions, over several boundaries, against the definition.
#[test]
fn is_its_definition_over_several_boundaries() {
    let x: Vec<f32> = noise(40 * D, 1).iter().map(|x| 2.0 * x).collect();
    let all = weights();
    for (segment, memory, compressed, ratio) in [(5, 7, 4, 3), (6, 3, 5, 2), (4, 8, 3, 4), (7, 0, 9, 3), (5, 6, 0, 2)] {
        let queues = Queues { segment, memory, compressed, ratio, padding: Padding::Left };
        let (weight, bias) = (scaled(noise(D * D * ratio, 31)), noise(D, 32));
        let product = Packed::new(&weight, (D, D * ratio), Layout::OutIn, Some(bias.clone()));
        let product = Compress::Conv(Linear::from_packed(Arc::new(product)));
        let by_conv = conv(&weight, &bias);
        type How<'a> = (Option<Compress>, Option<&'a dyn Fn(&[Vec<f64>]) -> Vec<f64>>);
        let hows: [How; 4] =
            [(Some(Compress::Mean), Some(&mean)), (Some(Compress::Max), Some(&max)), (Some(product), Some(&by_conv)), (None, None)];
        for ((how, compress), relative) in hows.iter().flat_map(|h| [None, Some(Relative::Rotary), Some(Relative::Learned)].map(|r| (h, r)))
        {
            for init in [InitMem::Empty, InitMem::Zeros] {
                let mixer = mixer(queues, how.clone(), relative, init);
                let (rows, width) = (segment + memory + compressed, D / HEADS);
                let table = noise(HEADS * rows * width, 21);
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let weigh = |h: usize, q: &[f64], keys: &[Vec<f64>]| -> Vec<f64> {
                    let near = |j: usize| {
                        let row = rows - keys.len() + j;
                        let e: Vec<f64> = table[(h * rows + row) * width..][..width].iter().map(|x| f64::from(*x)).collect();
                        if relative == Some(Relative::Learned) { dot(q, &e) } else { 0.0 }
                    };
                    (0..keys.len()).map(|j| ((dot(q, &keys[j]) + near(j)) / (width as f64).sqrt()).exp()).collect()
                };
                let rotary = relative == Some(Relative::Rotary);
                let weights = [&all[0][..], &all[1], &all[2], &all[3]];
                let twin =
                    Twin { d: D, heads: HEADS, weights, queues, compress: *compress, rotary, zeros: init == InitMem::Zeros, weigh: &weigh };
                let name = format!("{queues:?} {how:?} rotary {rotary} table {} {init:?}", mixer.table.is_some());
                let whole = run(&mixer, &x, 40);
                close(&whole, &twin.run(&x), &name);
                for cut in [1, 3, 7] {
                    assert!(run(&mixer, &x, cut) == whole, "{name}: calls of {cut}");
                }
            }
        }
    }
}

/// With a ratio of 1 a mean is the row itself: nothing is lost, and what remains is full attention.
#[test]
fn a_ratio_of_one_is_full_attention() {
    let x = noise(50 * D, 2);
    let want: Vec<f64> = run(&Softmax::new(Heads::new(D, HEADS).unwrap(), projections()), &x, 50).iter().map(|x| f64::from(*x)).collect();
    let queues = |segment, memory| Queues { segment, memory, compressed: 50, ratio: 1, padding: Padding::Left };
    for (segment, memory) in [(5, 5), (7, 16), (3, 0)] {
        close(&run(&mixer(queues(segment, memory), Some(Compress::Mean), None, InitMem::Empty), &x, 50), &want, "plain");
        close(&run(&mixer(queues(segment, memory), None, None, InitMem::Empty), &x, 50), &want, "most used");
        // a segment that is never full is full attention with rotary places
        let of = |queues| run(&mixer(queues, Some(Compress::Mean), Some(Relative::Rotary), InitMem::Empty), &x, 50);
        let want: Vec<f64> = of(queues(60, 0)).iter().map(|x| f64::from(*x)).collect();
        close(&of(queues(segment, memory)), &want, "rotary");
    }
}

/// What the memory says it weighs is what its lists hold, at every length.
#[test]
fn the_memory_weighs_what_is_told() {
    for (how, init) in
        [(Some(Compress::Mean), InitMem::Empty), (None, InitMem::Empty), (Some(Compress::Max), InitMem::Zeros), (None, InitMem::Zeros)]
    {
        let queues = Queues { segment: 5, memory: 40, compressed: 34, ratio: 2, padding: Padding::Left };
        let mixer = mixer(queues, how, None, init);
        let mut memory = mixer.memory(2).unwrap();
        for n in 0..200 {
            assert_eq!(memory.bytes(), 2 * mixer.bytes_at(n), "{n}");
            mixer.forward(&tensor(noise(2 * D, n as u64), (2, 1, D)).unwrap(), &mut memory).unwrap();
        }
    }
}
