use super::*;
use crate::kernel::linear::{Layout, View, pack};
use crate::kernel::testing::noise;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn paths() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available())
}

fn packed(w: &[f32], (outputs, inputs): (usize, usize), precision: Precision) -> Packed {
    let view = View { numbers: &w, first: 0, apart: inputs, layout: Layout::OutIn };
    pack::pack(&view, (outputs, inputs), precision, None).0
}

/// Modules, outputs of a module, inputs, rows.
const SHAPES: [(usize, usize, usize, usize); 9] = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (16, 64, 1024, 1),
    (2, 40, 33, 5),
    (8, 300, 130, 1),
    (5, 16, 64, 40),
    (64, 24, 200, 3),
    (4, 17, 9216, 1),
    (97, 1, 96, 2),
];

fn layer((s, m, d, _): (usize, usize, usize, usize), precision: Precision, bias: bool) -> (Factored, Vec<f32>) {
    let (gates, w) = (noise(s * d, 2), noise(m * d, 3));
    // the nearest numbers of their kind
    let seen = if precision == Precision::F32 { gates.clone() } else { gates.iter().map(|g| bf16::from_f32(*g).to_f32()).collect() };
    (Factored::new(s, gates, packed(&w, (m, d), precision), bias.then(|| noise(s * m, 4))), seen)
}

#[test]
fn equals_the_product_of_stored_rows_bit_for_bit_and_the_definition() {
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        for shape in SHAPES {
            let (s, m, d, n) = shape;
            let (layer, gates) = layer(shape, precision, true);
            let x = noise(n * d, 1);
            let got = layer.apply_on(isa, &x);
            let gated: Vec<f32> =
                x.chunks_exact(d).flat_map(|x| gates.chunks_exact(d).flat_map(move |g| x.iter().zip(g).map(|(x, g)| x * g))).collect();
            let stored = packed(&noise(m * d, 3), (m, d), precision).on(isa, &gated);
            let bias = layer.bias.as_ref().unwrap();
            let want: Vec<f32> = stored.iter().enumerate().map(|(at, y)| y + bias[at % (s * m)]).collect();
            assert!(got == want, "{isa:?} {precision:?} {shape:?}");
            if precision != Precision::Int8 && Kernel::of(isa, precision).operand == crate::kernel::linear::product::Operand::F32 {
                let mut w = vec![0.0; m * d];
                w.chunks_exact_mut(d).enumerate().for_each(|(o, row)| layer.proj.row(o, row));
                for (got, want) in got.iter().zip(naive(&x, &gates, &w, Some(bias), (m, d))) {
                    // |x|, |D|, |E| ≤ 1: d additions of numbers up to d, each rounded to 2⁻²⁴, and d products
                    let bound = (d * d) as f32 * 6e-8 + 1e-6;
                    assert!((got - want).abs() <= bound, "{isa:?} {precision:?} {shape:?}: {got} {want}");
                }
            }
        }
    }
}

/// Small integers are exact in every precision but int8, whatever the order: an output at another's place shows.
#[test]
fn integers_are_exact() {
    let integers = |n, seed| noise(n, seed).iter().map(|x| (x * 4.0).round()).collect::<Vec<f32>>();
    for (isa, precision) in paths().flat_map(|isa| [Precision::F32, Precision::Bf16].map(|p| (isa, p))) {
        for (s, m, d, n) in SHAPES {
            let (x, gates, w, b) = (integers(n * d, 1), integers(s * d, 2), integers(m * d, 3), integers(s * m, 4));
            let layer = Factored::new(s, gates.clone(), packed(&w, (m, d), precision), Some(b.clone()));
            assert_eq!(layer.shape(), (s * m, d));
            assert!(layer.apply_on(isa, &x) == naive(&x, &gates, &w, Some(&b), (m, d)), "{isa:?} {precision:?} {s} {m} {d} {n}");
        }
    }
}

#[test]
fn rows_and_threads_change_nothing() {
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        for shape in SHAPES {
            let (layer, _) = layer(shape, precision, false);
            let x = noise(shape.3 * shape.2, 1);
            let of = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| layer.apply_on(isa, &x))
            };
            let one = of(1);
            assert!(one == of(2) && one == of(7), "{isa:?} {precision:?} {shape:?}");
            let alone: Vec<f32> = x.chunks_exact(shape.2).flat_map(|x| layer.apply_on(isa, x)).collect();
            assert!(one == alone, "{isa:?} {precision:?} {shape:?}");
        }
    }
}

#[test]
fn a_number_that_is_not_finite_reaches_its_row_alone() {
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        let shape = (4, 20, 70, 3);
        let (layer, _) = layer(shape, precision, true);
        let mut x = noise(3 * 70, 1);
        x[100] = f32::NAN;
        let y = layer.apply_on(isa, &x);
        assert!(y.iter().enumerate().all(|(at, y)| y.is_nan() == (at / 80 == 1)), "{isa:?} {precision:?}");
    }
}

#[test]
fn no_rows_and_bytes() {
    for (precision, bytes) in [(Precision::F32, 4), (Precision::Bf16, 2), (Precision::Int8, 2)] {
        let (layer, _) = layer((3, 5, 7, 0), precision, true);
        assert!(layer.apply(&[]).is_empty());
        assert_eq!(layer.bytes(), layer.proj.bytes() + 3 * 7 * bytes + 15 * 4);
    }
}
