use super::*;
use crate::block::Linear;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::memory::Memory;
use crate::mixer::Softmax;
use std::sync::Arc;

const D: usize = 12;
const HEADS: usize = 3;
const WIDTH: usize = 4;

fn dense(w: &[f32]) -> Dense {
    Linear::from_packed(Arc::new(Packed::new(w, (D, D), Layout::OutIn, None))).into()
}

/// Weights of a seed; the output projection is the identity.
struct Weights {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    r: Vec<f32>,
    biases: [Vec<f32>; 2],
}

impl Weights {
    fn new() -> Self {
        let w = |seed| noise(D * D, seed);
        Self { q: w(1), k: w(2), v: w(3), r: w(4), biases: [noise(D, 5), noise(D, 6)] }
    }

    fn projections(&self) -> Projections {
        let identity: Vec<f32> = (0..D * D).map(|i| if i % (D + 1) == 0 { 1.0 } else { 0.0 }).collect();
        Projections { q: dense(&self.q), k: dense(&self.k), v: dense(&self.v), out: dense(&identity) }
    }

    fn mixer(&self, reach: Reach) -> TransformerXl {
        let heads = Heads::new(D, HEADS).unwrap();
        TransformerXl::new(heads, self.projections(), (dense(&self.r), self.biases.clone()), reach).unwrap()
    }
}

fn product(w: &[f32], x: &[f64]) -> Vec<f64> {
    w.chunks_exact(D).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
}

/// The definition in f64: position i sees the positions from `from(i)` on, those before the text hold `before`.
fn definition(w: &Weights, x: &[f32], before: Option<&[f32]>, clamp: Option<usize>, from: &dyn Fn(isize) -> isize) -> Vec<f64> {
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let input = |p: isize| if p < 0 { before.map(wide) } else { Some(wide(&x[p as usize * D..][..D])) };
    let waves = |delta: usize| -> Vec<f64> {
        let angle = |l: usize| delta.min(clamp.unwrap_or(usize::MAX)) as f64 * 10_000f64.powf(-2.0 * l as f64 / D as f64);
        (0..D / 2).map(|l| angle(l).sin()).chain((0..D / 2).map(|l| angle(l).cos())).collect()
    };
    let mut out = Vec::new();
    for i in 0..(x.len() / D) as isize {
        let q = product(&w.q, &input(i).unwrap());
        for h in 0..HEADS {
            let mut pairs = Vec::new();
            for j in from(i)..=i {
                let Some(x) = input(j) else { continue };
                let (k, v, r) = (product(&w.k, &x), product(&w.v, &x), product(&w.r, &waves((i - j) as usize)));
                let features = h * WIDTH..(h + 1) * WIDTH;
                let score: f64 =
                    features.clone().map(|f| (q[f] + f64::from(w.biases[0][f])) * k[f] + (q[f] + f64::from(w.biases[1][f])) * r[f]).sum();
                pairs.push(((score / (WIDTH as f64).sqrt()).exp(), v[features].to_vec()));
            }
            let total: f64 = pairs.iter().map(|p| p.0).sum();
            out.extend((0..WIDTH).map(|f| pairs.iter().map(|(p, v)| p * v[f]).sum::<f64>() / total));
        }
    }
    out
}

/// The outputs of a text in calls of these lengths; the last counts for the rest.
fn run(mixer: &TransformerXl, x: &[f32], cuts: &[usize], memory: &mut Past) -> Vec<f32> {
    let (mut out, mut rest, mut cuts) = (Vec::new(), x, cuts.iter().copied());
    let mut cut = 1;
    while !rest.is_empty() {
        cut = cuts.next().unwrap_or(cut).min(rest.len() / D);
        let xs = tensor(rest[..cut * D].to_vec(), (1, cut, D)).unwrap();
        out.extend(mixer.forward(&xs, memory).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
        rest = &rest[cut * D..];
    }
    out
}

fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() < 1e-5, "{what}, {i}: {got} {want}");
    }
}

#[test]
fn is_its_definition_with_any_reach_and_start() {
    let (w, n) = (Weights::new(), 300);
    let (x, zero) = (noise(n * D, 7), noise(D, 8));
    for memory in [1, 5, 140] {
        for segment in [Segment::Sliding, Segment::Fixed(1), Segment::Fixed(9), Segment::Fixed(1000)] {
            for (clamp, before) in [(None, None), (Some(4), Some(&zero)), (Some(1000), None), (None, Some(&zero))] {
                let reach = Reach { memory, segment, clamp };
                let mut mixer = w.mixer(reach);
                mixer = if let Some(before) = before { mixer.after(before.clone()) } else { mixer };
                let from = |i: isize| match segment {
                    Segment::Fixed(s) => i / s as isize * s as isize - memory as isize,
                    _ => i + 1 - memory as isize,
                };
                let want = definition(&w, &x, before.map(|b| &b[..]), clamp, &from);
                let whole = run(&mixer, &x, &[n], &mut Mixer::memory(&mixer, 1).unwrap());
                close(&whole, &want, &format!("{reach:?}, {}", before.is_some()));
                for cuts in [&[1][..], &[130, 7], &[3, 200, 1]] {
                    assert_eq!(run(&mixer, &x, cuts, &mut Mixer::memory(&mixer, 1).unwrap()), whole, "{reach:?} {cuts:?}");
                }
            }
        }
    }
}

/// The prompt is a segment up to its last token, which comes in a later call; after that calls are segments.
#[test]
fn calls_are_segments_where_that_is_asked_for() {
    let (w, n) = (Weights::new(), 40);
    let (x, zero) = (noise(n * D, 7), vec![0.0; D]);
    let mixer = w.mixer(Reach { memory: 5, segment: Segment::Call, clamp: None }).after(zero.clone());
    for (prompt, calls) in [(10, vec![1]), (10, vec![4, 3, 8]), (1, vec![1]), (1, vec![6, 1, 5])] {
        let mut memory = Mixer::memory(&mixer, 1).unwrap();
        let mut got = run(&mixer, &x[..(prompt - 1) * D], &[prompt], &mut memory);
        memory.keep_open();
        got.extend(run(&mixer, &x[(prompt - 1) * D..], &calls, &mut memory));
        // where the segments begin: 0, and with every token that a later call read, but for the prompt's last
        let mut starts = vec![0isize; prompt - 1];
        let mut position = prompt - 1;
        for (i, call) in calls.iter().chain(std::iter::repeat(&calls[calls.len() - 1])).enumerate() {
            let call = (*call).min(n - position);
            let open = i == 0 && prompt > 1;
            starts.extend(
                (position..position + call).map(|p| if open && p == prompt - 1 { 0 } else { (position + usize::from(open)) as isize }),
            );
            position += call;
            if position == n {
                break;
            }
        }
        close(&got, &definition(&w, &x, Some(&zero), None, &|i| starts[i as usize] - 5), &format!("{prompt} {calls:?}"));
    }
}

/// With a memory as long as the text, nothing between distances and no biases it is softmax attention, bit for bit.
#[test]
fn a_memory_as_long_as_the_text_without_distances_is_softmax() {
    let n = 150;
    let w = Weights { r: vec![0.0; D * D], biases: [vec![0.0; D], vec![0.0; D]], ..Weights::new() };
    let x = tensor(noise(n * D, 7), (1, n, D)).unwrap();
    let softmax = Softmax::new(Heads::new(D, HEADS).unwrap(), w.projections());
    let want = softmax.forward(&x, &mut Mixer::memory(&softmax, 1).unwrap()).unwrap().to_vec3::<f32>().unwrap();
    for (memory, segment) in [(n, Segment::Sliding), (0, Segment::Fixed(n)), (n, Segment::Fixed(1))] {
        let mixer = w.mixer(Reach { memory, segment, clamp: None });
        let got = mixer.forward(&x, &mut Mixer::memory(&mixer, 1).unwrap()).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(got, want);
    }
}

/// Once it is full the memory is as large as it gets, and rows may come and go.
#[test]
fn a_full_memory_stays_as_large_as_it_is() {
    let (w, n) = (Weights::new(), 900);
    let x = noise(n * D, 7);
    let mixer = w.mixer(Reach { memory: 200, segment: Segment::Sliding, clamp: None });
    let mut memory = Mixer::memory(&mixer, 1).unwrap();
    let mut most = 0;
    for (i, x) in x.chunks(D).enumerate() {
        run(&mixer, x, &[1], &mut memory);
        assert_eq!(Memory::bytes(&memory), mixer.bytes_at(i + 1));
        most = most.max(Memory::bytes(&memory));
    }
    assert_eq!(most, Keys::bytes_at(HEADS, WIDTH, 199 + 128, Precision::F32));
    let mut pair = memory.clone();
    Memory::select(&mut pair, &[0, 0]).unwrap();
    Memory::join(&mut pair, vec![memory.clone()]).unwrap();
    assert_eq!((pair.kv.0.len(), pair.calls.len()), (3, 3));
}

#[test]
fn sizes_without_sense_are_refused() {
    let check =
        |memory, segment| Reach { memory, segment, clamp: None }.check(("memory", "segment")).err().map(|e| e.message().to_string());
    assert!(check(0, Segment::Sliding).unwrap().contains("`memory` is 0"));
    assert!(check(usize::MAX, Segment::Sliding).unwrap().contains("`memory`"));
    assert!(check(1, Segment::Fixed(usize::MAX)).unwrap().contains("`segment`"));
    assert!(check(1, Segment::Fixed(0)).unwrap().contains("`segment`"));
    assert_eq!((check(0, Segment::Fixed(1)), check(0, Segment::Call)), (None, None));
    let w = Weights::new();
    let odd = Linear::from_packed(Arc::new(Packed::new(&noise(15, 1), (3, 5), Layout::OutIn, None))).into();
    let reach = Reach { memory: 1, segment: Segment::Sliding, clamp: None };
    let heads = Heads::new(3, 1).unwrap();
    assert!(TransformerXl::new(heads, w.projections(), (odd, [vec![], vec![]]), reach).is_err());
}
