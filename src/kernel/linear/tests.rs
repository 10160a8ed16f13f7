use super::product::Operand;
use super::*;
use crate::kernel::testing::noise;

pub(in crate::kernel) mod guarded;
mod paths;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn paths() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available())
}

fn packed(w: &[f32], (outputs, inputs): (usize, usize), precision: Precision, bias: Option<Vec<f32>>) -> Packed {
    let view = View { numbers: &w, first: 0, apart: inputs, layout: Layout::OutIn };
    let (packed, bad) = pack::pack(&view, (outputs, inputs), precision, bias);
    assert_eq!(bad, None);
    packed
}

impl Packed {
    pub(in crate::kernel) fn on(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let [y] = apply_on(isa, [self], x);
        y
    }
}

/// The weights that a packed matrix stands for.
fn weights(packed: &Packed) -> Vec<f32> {
    let mut w = vec![0.0; packed.outputs * packed.inputs];
    w.chunks_exact_mut(packed.inputs).enumerate().for_each(|(o, row)| packed.row(o, row));
    w
}

const SHAPES: [(usize, usize, usize); 9] =
    [(1, 1, 1), (2, 33, 7), (3, 16, 64), (5, 24, 24), (7, 99, 40), (31, 130, 300), (33, 64, 514), (200, 65, 129), (96, 40, 771)];

#[test]
fn equals_the_definition_and_does_not_depend_on_neighbours() {
    for isa in paths() {
        for precision in PRECISIONS {
            for (n, outputs, inputs) in SHAPES {
                let (x, w, b) = (noise(n * inputs, 1), noise(outputs * inputs, 2), noise(outputs, 3));
                let packed = packed(&w, (outputs, inputs), precision, Some(b.clone()));
                let y = packed.on(isa, &x);
                // x as the products see it: int8 rounds it to 127 steps, AVX-512-BF16 and AMX round it to bf16
                let x_seen: Vec<f32> = match Kernel::of(isa, precision).operand {
                    Operand::F32 => x.clone(),
                    Operand::Bf16 => x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect(),
                    Operand::Int8 => x
                        .chunks_exact(inputs)
                        .flat_map(|row| {
                            let mut q = vec![0; inputs];
                            let s = pack::quantise(row, &mut q);
                            q.into_iter().map(move |q| f32::from(q.cast_signed()) * s)
                        })
                        .collect(),
                };
                for (got, want) in y.iter().zip(naive(&x_seen, &weights(&packed), Some(&b), (outputs, inputs))) {
                    // |x|, |w| ≤ 1: k additions of numbers up to k, each rounded to 2⁻²⁴
                    let bound = (inputs * inputs) as f32 * 6e-8 + 1e-6;
                    assert!((got - want).abs() <= bound, "{isa:?} {precision:?} {n} {outputs} {inputs}: {got} {want}");
                }
                for r in 0..n {
                    let alone = packed.on(isa, &x[r * inputs..(r + 1) * inputs]);
                    assert_eq!(alone, y[r * outputs..(r + 1) * outputs], "{isa:?} {precision:?} row {r} of {n}");
                }
            }
        }
    }
}

#[test]
fn packed_weights_are_the_nearest_of_their_kind() {
    let (outputs, inputs) = (37, 11);
    let w = noise(outputs * inputs, 4);
    assert_eq!(weights(&packed(&w, (outputs, inputs), Precision::F32, None)), w);
    let rounded: Vec<f32> = w.iter().map(|w| bf16::from_f32(*w).to_f32()).collect();
    assert_eq!(weights(&packed(&w, (outputs, inputs), Precision::Bf16, None)), rounded);
    for (row, got) in w.chunks_exact(inputs).zip(weights(&packed(&w, (outputs, inputs), Precision::Int8, None)).chunks_exact(inputs)) {
        let step = row.iter().fold(0.0f32, |a, w| a.max(w.abs())) / 127.0;
        assert!(row.iter().zip(got).all(|(w, got)| (w - got).abs() <= 0.5001 * step));
    }
}

#[test]
fn bf16_on_floats_is_f32_over_the_rounded_weights() {
    for isa in paths().filter(|i| Kernel::of(*i, Precision::Bf16).operand == Operand::F32) {
        for (n, outputs, inputs) in SHAPES {
            let (x, w) = (noise(n * inputs, 1), noise(outputs * inputs, 2));
            let rounded: Vec<f32> = w.iter().map(|w| bf16::from_f32(*w).to_f32()).collect();
            let of = |w: &[f32], precision| packed(w, (outputs, inputs), precision, None).on(isa, &x);
            assert_eq!(of(&w, Precision::Bf16), of(&rounded, Precision::F32), "{isa:?} {n} {outputs} {inputs}");
        }
    }
}

#[test]
fn int8_is_the_same_bits_on_every_path() {
    for (n, outputs, inputs) in SHAPES {
        let (x, w) = (noise(n * inputs, 1), noise(outputs * inputs, 2));
        let packed = packed(&w, (outputs, inputs), Precision::Int8, Some(noise(outputs, 3)));
        let portable = packed.on(Isa::Portable, &x);
        for isa in paths() {
            assert_eq!(packed.on(isa, &x), portable, "{isa:?}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    // the last ones: few panels and several rows, a single row and too few panels for fours
    for (n, outputs, inputs) in [(130, 515, 70), (16, 64, 192), (64, 9, 200), (1, 90, 1000)] {
        let (x, w) = (noise(n * inputs, 1), noise(outputs * inputs, 2));
        for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
            let of = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| packed(&w, (outputs, inputs), precision, None).on(isa, &x))
            };
            let one = of(1);
            assert_eq!(one, of(2));
            assert_eq!(one, of(5));
            let alone: Vec<f32> = x.chunks_exact(inputs).flat_map(|x| packed(&w, (outputs, inputs), precision, None).on(isa, x)).collect();
            assert_eq!(one, alone);
        }
    }
}

#[test]
fn a_number_that_is_not_finite_is_found_and_spreads_to_its_outputs_alone() {
    let (outputs, inputs) = (300, 20);
    for layout in [Layout::OutIn, Layout::InOut] {
        let mut w = noise(outputs * inputs, 1);
        w[5000] = f32::NAN;
        w[4321] = f32::INFINITY;
        let slice = w.as_slice();
        let view = View { numbers: &slice, first: 0, apart: if layout == Layout::OutIn { inputs } else { outputs }, layout };
        let (_, bad) = pack::pack(&view, (outputs, inputs), Precision::F32, None);
        assert_eq!(bad.map(|b| (b.index, b.value)), Some((4321, f32::INFINITY)));
    }
    let w = [f32::MAX, 1.0];
    let view = View { numbers: &&w[..], first: 0, apart: 2, layout: Layout::OutIn };
    assert_eq!(pack::pack(&view, (1, 2), Precision::F32, None).1, None);
    assert_eq!(pack::pack(&view, (1, 2), Precision::Bf16, None).1, Some(pack::NotFinite { index: 0, value: f32::MAX }));
    for precision in PRECISIONS {
        for isa in paths() {
            let y =
                packed(&noise(40 * 20, 1), (40, 20), precision, None).on(isa, &[vec![1.0; 20], vec![f32::NAN; 20], vec![1.0; 20]].concat());
            assert!(y[40..80].iter().all(|y| y.is_nan()) && y[..40].iter().chain(&y[80..]).all(|y| y.is_finite()), "{isa:?} {precision:?}");
        }
    }
}

#[test]
fn the_transposed_layout_and_parts_of_it_are_the_same_matrix() {
    let (outputs, inputs) = (37, 11);
    let w = noise(outputs * inputs, 4);
    let t: Vec<f32> = (0..inputs * outputs).map(|i| w[i % outputs * inputs + i / outputs]).collect();
    let x = noise(3 * inputs, 5);
    let a = Packed::new(&w, (outputs, inputs), Layout::OutIn, None).apply(&x);
    let b = Packed::new(&t, (outputs, inputs), Layout::InOut, None).apply(&x);
    assert_eq!(a, b);
    let view = View { numbers: &t.as_slice(), first: 20, apart: outputs, layout: Layout::InOut };
    let part = pack::pack(&view, (17, inputs), Precision::F32, None).0.apply(&x);
    for (part, whole) in part.chunks_exact(17).zip(a.chunks_exact(outputs)) {
        assert_eq!(part, &whole[20..]);
    }
}

#[test]
fn several_weights_at_once_are_each_by_itself() {
    let (n, inputs) = (3, 70);
    let x = noise(n * inputs, 1);
    for precision in PRECISIONS {
        let of = |outputs: usize| packed(&noise(outputs * inputs, outputs as u64), (outputs, inputs), precision, Some(noise(outputs, 9)));
        let (a, b, c) = (of(515), of(16), of(0));
        assert_eq!(apply([&a, &c, &b], &x), [a.apply(&x), vec![], b.apply(&x)]);
    }
}
