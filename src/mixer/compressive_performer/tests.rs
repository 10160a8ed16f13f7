use super::super::segments::Padding;
use super::super::segments::twin::{Twin, conv, max, mean};
use super::*;
use crate::block::{Linear, RotaryStyle};
use crate::kernel::features::Kernel;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::memory::Memory;
use std::sync::Arc;

const D: usize = 12;
const HEADS: usize = 3;
const M: usize = 9;

fn packed(numbers: &[f32], sizes: (usize, usize), bias: Option<Vec<f32>>) -> Packed {
    Packed::new(numbers, sizes, Layout::OutIn, bias)
}

fn weights() -> [Vec<f32>; 4] {
    [11, 12, 13, 14].map(|seed| noise(D * D, seed))
}

fn mixer(queues: Queues, compress: Compress, (kernel, epsilon): (Kernel, f32), rotary: bool, init: InitMem) -> CompressivePerformer {
    let [q, k, v, out] = weights().map(|w| Linear::from_packed(Arc::new(packed(&w, (D, D), None))).into());
    let width = D / HEADS;
    CompressivePerformer {
        d: D,
        projections: Projections { q, k, v, out },
        features: Features::new(packed(&noise(M * width, 21), (M, width), None), kernel, epsilon, (HEADS, width)),
        queues,
        compress,
        rotary: rotary.then(|| Rotary::new(width, 10_000.0, RotaryStyle::Half).unwrap()),
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

/// φ without a maximum, in f64.
fn phi(x: &[f64], relu: Option<f64>) -> Vec<f64> {
    let w = noise(M * x.len(), 21);
    let scaled: Vec<f64> = x.iter().map(|v| v * (x.len() as f64).powf(-0.25)).collect();
    let square = scaled.iter().map(|x| x * x).sum::<f64>() / 2.0;
    let project = |r: usize| scaled.iter().zip(&w[r * x.len()..]).map(|(x, w)| x * f64::from(*w)).sum::<f64>();
    (0..M).map(|r| relu.map_or_else(|| (project(r) - square).exp(), |eps| project(r).max(0.0) + eps)).collect()
}

/// Every compression with both kernels, with and without places, over several boundaries, against the definition.
#[test]
fn is_its_definition_over_several_boundaries() {
    let x: Vec<f32> = noise(37 * D, 1).iter().map(|x| 2.0 * x).collect();
    let all = weights();
    for (segment, memory, compressed, ratio) in [(5, 7, 4, 3), (6, 3, 5, 2), (4, 8, 3, 4), (7, 0, 9, 3), (5, 6, 0, 2)] {
        for padding in [Padding::Left, Padding::Lucidrains] {
            let queues = Queues { segment, memory, compressed, ratio, padding };
            let (weight, bias) = (noise(D * D * ratio, 31), noise(D, 32));
            let by_conv = conv(&weight, &bias);
            let product = Compress::Conv(Linear::from_packed(Arc::new(packed(&weight, (D, D * ratio), Some(bias.clone())))));
            type How<'a> = (Compress, &'a dyn Fn(&[Vec<f64>]) -> Vec<f64>);
            let hows: [How; 3] = [(Compress::Mean, &mean), (Compress::Max, &max), (product, &by_conv)];
            for (i, (how, compress)) in hows.iter().enumerate() {
                for (rotary, init) in [(true, InitMem::Empty), (i == 1, InitMem::Zeros), (false, InitMem::Empty)] {
                    let kernel = if i == 1 { (Kernel::Relu, 1e-2) } else { (Kernel::Softmax, 0.0) };
                    let relu = (kernel.0 == Kernel::Relu).then_some(1e-2);
                    let mixer = mixer(queues, how.clone(), kernel, rotary, init);
                    let weigh = |_: usize, q: &[f64], keys: &[Vec<f64>]| -> Vec<f64> {
                        let q = phi(q, relu);
                        keys.iter().map(|k| phi(k, relu).iter().zip(&q).map(|(k, q)| k * q).sum()).collect()
                    };
                    let weights = [&all[0][..], &all[1], &all[2], &all[3]];
                    let zeros = init == InitMem::Zeros;
                    let twin = Twin { d: D, heads: HEADS, weights, queues, compress: Some(*compress), rotary, zeros, weigh: &weigh };
                    let whole = run(&mixer, &x, 37);
                    let worst = whole.iter().zip(twin.run(&x)).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max);
                    assert!(worst < 3e-5, "{queues:?} {how:?} rotary {rotary} {init:?}: {worst}");
                    for cut in [1, 3, 7] {
                        assert!(run(&mixer, &x, cut) == whole, "{queues:?} {how:?}: calls of {cut}");
                    }
                }
            }
        }
    }
}

/// Memories that are longer than the text and nothing that is compressed: FAVOR over the whole text.
#[test]
fn long_memories_are_plain_favor() {
    let x = noise(40 * D, 2);
    let of = |segment, memory| {
        let queues = Queues { segment, memory, compressed: 40, ratio: 1, padding: Padding::Left };
        run(&mixer(queues, Compress::Mean, (Kernel::Softmax, 0.0), true, InitMem::Empty), &x, 40)
    };
    let want = of(64, 0);
    for (segment, memory) in [(5, 40), (7, 9), (3, 0)] {
        assert!(of(segment, memory).iter().zip(&want).all(|(a, b)| (a - b).abs() < 2e-5), "{segment} {memory}");
    }
}

/// What the memory says it weighs is what its lists hold, at every length.
#[test]
fn the_memory_weighs_what_is_told() {
    let lengths = [(5, 13, 8, 3), (5, 10, 7, 2), (4, 3, 4, 1), (3, 0, 100, 2), (2, 5, 3, 3), (6, 6, 3, 1)];
    let inits = [InitMem::Empty, InitMem::Zeros];
    let kernels = [(Kernel::Softmax, 0.0), (Kernel::Softmax, 1e-3), (Kernel::Relu, 1e-3)];
    for (i, (segment, memory, compressed, ratio)) in lengths.into_iter().flat_map(|l| [l; 4]).enumerate() {
        let (padding, init) = ([Padding::Left, Padding::Lucidrains][i % 2], inits[i / 2 % 2]);
        let queues = Queues { segment, memory, compressed, ratio, padding };
        let mixer = mixer(queues, Compress::Max, kernels[i % 3], true, init);
        let mut memory = mixer.memory(2).unwrap();
        for n in 0..70 {
            assert_eq!(memory.bytes(), 2 * mixer.bytes_at(n), "{queues:?} {init:?} {n}");
            mixer.forward(&tensor(noise(2 * D, n as u64), (2, 1, D)).unwrap(), &mut memory).unwrap();
        }
    }
}
