//! The mathematics of trax's families: what their layers must give whatever the numbers are, and configurations that make no sense.

use effattn::arch::{Arch, Layer, REGISTRY};
use effattn::block::Dense;
use effattn::kernel::factored::Factored;
use effattn::kernel::linear::{Layout, Packed};
use effattn::kernel::{slice, tensor};
use effattn::memory::State;
use effattn::model::{Model, Source};
use effattn::weights::{Store, Weights};
use effattn::{Error, Result};
use serde_json::{Value, json};
use std::sync::Arc;

/// Seeded numbers in −1..1.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (s >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// A checkpoint of these tensors.
fn stored(tensors: &[(&str, &[usize], &[f32])]) -> Weights {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, _, x)| x.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let view = |i: usize| safetensors::tensor::TensorView::new(safetensors::Dtype::F32, tensors[i].1.to_vec(), &bytes[i]).unwrap();
    let views: Vec<_> = (0..tensors.len()).map(|i| (tensors[i].0, view(i))).collect();
    safetensors::serialize_to_file(views, None, &dir.path().join("model.safetensors")).unwrap();
    Arc::new(Store::open(dir.path()).unwrap()).root()
}

fn apply(layer: &Layer, x: &[f32], d: usize) -> Vec<f32> {
    let xs = tensor(x.to_vec(), (1, x.len() / d, d)).unwrap();
    slice(&layer.forward(&xs, layer.memory().unwrap().as_mut()).unwrap(), <[f32]>::to_vec).unwrap()
}

fn close(got: &[f32], want: &[f64]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() <= 1e-5 * w.abs().max(1.0))
}

/// The theorem of the paper's section 3.2: the multiplicative layer can put any feature into any place of any module.
#[test]
fn a_multiplicative_layer_realises_any_permutation() {
    for (d, modules) in [(12, 3), (12, 12), (16, 4), (30, 5), (64, 1), (96, 16)] {
        for seed in 0..4 {
            let m = d / modules;
            let mut to: Vec<usize> = (0..d).collect();
            let order = noise(d, seed);
            to.sort_by(|a, b| order[*a].total_cmp(&order[*b]));
            let gates = (0..modules * d).map(|at| if to[at % d] / m == at / d { 1.0 } else { 0.0 }).collect();
            let proj: Vec<f32> = (0..d * m).map(|at| if to[at / m] % m == at % m { 1.0 } else { 0.0 }).collect();
            let layer = Factored::new(modules, gates, Packed::new(&proj, (m, d), Layout::InOut, None), None);
            let x = noise(3 * d, seed + 9);
            let y = layer.apply(&x);
            for (x, y) in x.chunks(d).zip(y.chunks(d)) {
                for (i, x) in x.iter().enumerate() {
                    assert_eq!(y[to[i]].to_bits(), x.to_bits(), "{d} features, {modules} modules");
                }
            }
        }
    }
}

/// The sparse feed-forward layer of these sizes, its first matrix, its second and its last bias being noise.
fn sparse_ff(d: usize, (blocks, n): (usize, usize), m1: &[f32], mb: &[f32]) -> (Layer, [Vec<f32>; 3]) {
    let (units, rank) = (blocks * n, m1.len() / d);
    let [m2, w1, w2, b2] = [(rank * units, 2), (d * units, 3), (d * units, 4), (d, 5)].map(|(n, seed)| noise(n, seed));
    let w = stored(&[
        ("m1", &[d, rank], m1),
        ("m2", &[rank, blocks, n], &m2),
        ("mb", &[blocks, n], mb),
        ("w1", &[d, blocks, n], &w1),
        ("w2", &[n, blocks, d], &w2),
        ("b2", &[d], &b2),
    ]);
    let args = json!({"d_ff": units, "n_elements_in_block": n, "d_lowrank": rank});
    let config = json!({"model_type": "trax_layer", "layer": "SparseFF", "d_model": d, "args": args});
    (Layer::load(&config, &w).unwrap(), [w1, w2, b2])
}

/// relu(x W₁) W₂ + b₂ of unit `chosen(block)` of each block.
fn units(x: &[f32], (blocks, n): (usize, usize), [w1, w2, b2]: &[Vec<f32>; 3], chosen: impl Fn(usize) -> usize) -> Vec<f64> {
    let d = b2.len();
    let row = |x: &[f32]| -> Vec<f64> {
        let mut out: Vec<f64> = b2.iter().map(|b| f64::from(*b)).collect();
        for b in 0..blocks {
            let y = chosen(b);
            let sum: f64 = (0..d).map(|i| f64::from(x[i]) * f64::from(w1[i * blocks * n + b * n + y])).sum();
            (0..d).for_each(|o| out[o] += sum.max(0.0) * f64::from(w2[(y * blocks + b) * d + o]));
        }
        out
    };
    x.chunks(d).flat_map(row).collect()
}

#[test]
fn a_sparse_feed_forward_layer_of_single_units_is_a_dense_one() {
    let (d, blocks) = (13, 21);
    let (layer, parts) = sparse_ff(d, (blocks, 1), &noise(d * 4, 1), &noise(blocks, 6));
    let x = noise(7 * d, 8);
    assert!(close(&apply(&layer, &x, d), &units(&x, (blocks, 1), &parts, |_| 0)));
}

#[test]
fn a_controller_without_input_chooses_by_its_bias_and_the_first_of_equals() {
    let (d, blocks, n) = (13, 6, 4);
    let x = noise(5 * d, 8);
    type Choice = fn(usize) -> usize;
    type Case = (Choice, fn(usize, usize) -> bool);
    let one_hot: Choice = |b| (b * 3 + 1) % 4;
    let cases: [Case; 3] = [(one_hot, |b, y| y == (b * 3 + 1) % 4), (|_| 0, |_, _| false), (|_| 1, |_, y| y == 1 || y == 3)];
    for (chosen, bias) in cases {
        let mb: Vec<f32> = (0..blocks * n).map(|at| if bias(at / n, at % n) { 1.0 } else { 0.0 }).collect();
        let (layer, parts) = sparse_ff(d, (blocks, n), &vec![0.0; d * 3], &mb);
        assert!(close(&apply(&layer, &x, d), &units(&x, (blocks, n), &parts, chosen)));
    }
}

/// With a kernel of one module each module has its own block; a wider kernel wraps around, and its matrices belong to the inputs.
#[test]
fn a_locally_connected_layer_is_its_blocks() {
    for (s, k, dx, u) in [(4, 1, 3, 2), (3, 3, 2, 5), (5, 3, 4, 4), (2, 3, 3, 3)] {
        let (d, bias) = (s * dx, noise(s * u, 3));
        let numbers = noise(s * k * dx * u, 2);
        let w = stored(&[("w", &[s, k, dx, u], &numbers), ("b", &[s, u], &bias)]);
        let layer = Dense::modular(&w, s, k, (s * u, d)).unwrap();
        let x = noise(3 * d, 7);
        let mut want = Vec::new();
        for x in x.chunks(d) {
            for (o, out) in (0..s).flat_map(|o| (0..u).map(move |out| (o, out))) {
                let mut sum = f64::from(bias[o * u + out]);
                for (i, f) in (0..k).flat_map(|i| (0..dx).map(move |f| (i, f))) {
                    let m = (o + i + s - k / 2) % s;
                    sum += f64::from(x[m * dx + f]) * f64::from(numbers[((m * k + i) * dx + f) * u + out]);
                }
                want.push(sum);
            }
        }
        assert!(close(&layer.apply(&x), &want), "{s} modules, kernel {k}");
    }
}

fn arch(name: &str) -> &'static Arch {
    REGISTRY.iter().find(|a| a.model_type == name).unwrap()
}

const NAMES: [&str; 3] = ["scaling_transformer", "terraformer", "trax_reformer_lm"];

/// The tiny configuration of a family, with other values.
fn config(name: &str, values: Value) -> Value {
    let mut config: Value = serde_json::from_str(arch(name).tiny).unwrap();
    for (key, value) in values.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn load(config: &Value) -> Result<Box<dyn Model>> {
    let name = config["model_type"].as_str().unwrap();
    Ok((arch(name).load)(config, &Arc::new(Store::random(7)).root())?.model)
}

fn score(model: &dyn Model, tokens: &[&[u32]], state: &mut State) -> Vec<Vec<Vec<f32>>> {
    model.score(&tokens.iter().map(|t| t.to_vec()).collect::<Vec<_>>(), state).unwrap().to_vec3().unwrap()
}

/// Every attention of a decoder, small.
fn attentions() -> Vec<Value> {
    let mut all = vec![
        json!({"type": "dense"}),
        json!({"type": "favor"}),
        json!({"type": "lowrank", "lowrank": 5}),
        json!({"type": "mult", "sparsity": 4}),
        json!({"type": "conv", "sparsity": 4, "kernel_size": 3}),
        json!({"type": "modular", "sparsity": 4, "kernel_size": 3}),
        json!({"type": "mult_modular", "sparsity": 4}),
        json!({"type": "self"}),
    ];
    for share in [false, true] {
        for concat in ["none", "original", "fixed"] {
            for output in ["none", "mult", "conv", "multconv"] {
                all.push(
                    json!({"type": "mult_conv", "sparsity": 4, "share_qk": share, "v_concat_type": concat, "output_layer_type": output}),
                );
            }
        }
        let lsh = |weights: &str| json!({"type": "lsh", "n_hashes": 2, "n_buckets": 4, "chunk_len": 2, "weights": weights});
        let mut with = [lsh("model"), lsh("sparse")];
        with.iter_mut().for_each(|lsh| lsh["share_qk"] = share.into());
        with[1]["sparsity"] = 4.into();
        all.extend(with);
        if share {
            all.push(lsh("heads"));
        }
    }
    all
}

/// A sequence token by token, in pieces, and in company that changes on the way: the same bits.
#[test]
fn step_by_step_equals_the_whole_for_every_attention() {
    for attention in attentions() {
        let values = json!({"is_encoder_decoder": false, "n_layers": 1, "attention": attention, "ff_use_sru": 0});
        let model = load(&config("scaling_transformer", values)).unwrap_or_else(|e| panic!("{attention}: {e}"));
        let rows: Vec<Vec<u32>> = (0..3).map(|r| (0..17).map(|i| 3 + (i * i * 7 + i + 11 * r) % 58).collect()).collect();
        let start = |row: &[u32]| model.encode(&Source::new(vec![vec![row[0]]])).unwrap().0;
        let whole: Vec<Vec<Vec<f32>>> = rows.iter().map(|r| score(&*model, &[r], &mut start(r)).remove(0)).collect();
        for cut in [1, 5] {
            let mut state = start(&rows[0]);
            let parts: Vec<Vec<f32>> = rows[0].chunks(cut).flat_map(|c| score(&*model, &[c], &mut state).remove(0)).collect();
            assert!(parts == whole[0], "{attention}: in pieces of {cut}");
        }
        // rows 0 and 1 together, after 4 and 9 tokens; then row 1 twice and row 0; then row 2 beside them
        let (mut a, mut b, mut c) = (start(&rows[0]), start(&rows[1]), start(&rows[2]));
        score(&*model, &[&rows[0][..4]], &mut a);
        score(&*model, &[&rows[1][..9]], &mut b);
        score(&*model, &[&rows[2][..2]], &mut c);
        a.join(vec![b]).unwrap();
        let got = score(&*model, &[&rows[0][4..6], &rows[1][9..11]], &mut a);
        assert!(got[0] == whole[0][4..6] && got[1] == whole[1][9..11], "{attention}: together");
        a.select(&[1, 0, 1]).unwrap();
        a.join(vec![c]).unwrap();
        let got = score(&*model, &[&rows[1][11..14], &rows[0][6..9], &rows[1][11..14], &rows[2][2..5]], &mut a);
        assert!(got[0] == whole[1][11..14] && got[2] == got[0], "{attention}: a row that was copied");
        assert!(got[1] == whole[0][6..9] && got[3] == whole[2][2..5], "{attention}: rows that moved");
    }
}

#[test]
fn parameters_are_the_papers() {
    let count = |layer: &str, d: usize, args: Value| {
        let store = Arc::new(Store::blueprint());
        Layer::load(&json!({"model_type": "trax_layer", "layer": layer, "d_model": d, "args": args}), &store.root()).unwrap();
        store.parameters()
    };
    for (d, s) in [(1024, 16), (96, 4), (64, 64)] {
        assert_eq!(count("FactoredDense", d, json!({"n_modules": s, "d_in": d, "d_out": d})), s * d + d * d / s + d);
    }
    let args = json!({"n_heads": 16, "sparsity": 16, "length_kernel_size": 3});
    assert_eq!(count("MultiplicativeConvCausalAttention", 1024, args), 169_152);
    assert_eq!(count("CausalAttention", 1024, json!({"n_heads": 16})), 4_198_400);
}

fn message(result: Result<Box<dyn Model>>) -> String {
    result.err().map(|e: Error| e.message().to_string()).unwrap_or_default()
}

#[test]
fn sizes_that_do_not_divide_are_told() {
    let cases = [
        (json!({"loss_sparsity": 7}), vec!["`vocab_size` 64", "`loss_sparsity` 7"]),
        (json!({"ff_sparsity": 7}), vec!["`d_ff` 60", "7", "blocks"]),
        (json!({"ff_sparsity": 7, "ff_sparsity_type": "Block"}), vec!["`d_ff` 60", "7 experts"]),
        (json!({"ff_sparsity": 8, "ff_sparsity_type": "Switch"}), vec!["`d_ff` 60", "8 experts"]),
        (json!({"n_heads": 5}), vec!["24 features", "5 heads"]),
        (json!({"attention": {"type": "mult_conv", "sparsity": 5}}), vec!["24", "5 modules"]),
        (json!({"attention": {"type": "modular", "sparsity": 5}}), vec!["24", "5 modules"]),
        (json!({"d_model": 36, "attention": {}, "enc_dec_attention_sparsity": 0, "pos_type": "fixed-base"}), vec!["`d_model`", "8", "36"]),
        (json!({"attention": {"type": "dense", "wide": 3}}), vec!["`attention.wide`", "\"dense\""]),
        (json!({"attention": {"type": "flash"}}), vec!["\"flash\""]),
        (json!({"attention": {"type": "lsh"}}), vec!["`n_buckets`"]),
        (json!({"attention": {"type": "lsh", "n_buckets": 3}}), vec!["`attention.n_buckets` is 3"]),
        (json!({"attention": {"type": "lsh", "n_buckets": 4, "n_chunks_after": 1}}), vec!["`attention.n_chunks_after`"]),
        (json!({"attention": {"type": "lsh", "n_buckets": 4, "weights": "x"}}), vec!["`attention.weights` \"x\""]),
        (json!({"encoder_attention": {"type": "mult_conv"}}), vec!["`encoder_attention` \"mult_conv\""]),
        (json!({"attention": {"type": "dense", "share_qk": true}}), vec!["`attention.share_qk`", "\"dense\""]),
        (json!({"attention": {"type": "self", "chunk_len": 2}}), vec!["`attention.chunk_len`", "\"self\""]),
        (json!({"attention": {"type": "mult_conv", "kernel_size": 5}}), vec!["`attention.kernel_size`"]),
        (json!({"multiply_by_controller_output": true}), vec!["`multiply_by_controller_output`"]),
        (json!({"is_encoder_decoder": "no"}), vec!["`is_encoder_decoder`"]),
        (json!({"ff_sparsity": [1, 2, 3]}), vec!["`ff_sparsity: [1,2,3]`"]),
        (json!({"ff_sparsity": {}}), vec!["`ff_sparsity: {}`"]),
        (json!({"ff_use_sru": [1, 2, 3]}), vec!["`ff_use_sru: [1,2,3]`"]),
    ];
    for (values, told) in cases {
        let message = message(load(&config("scaling_transformer", values.clone())));
        assert!(message.starts_with("config.json: "), "{values}: {message}");
        told.iter().for_each(|part| assert!(message.contains(part), "{values}: no {part} in {message}"));
    }
    let half = json!({"d_model": 40, "n_heads": 8, "attention": {}, "pos_type": null});
    let message = message(load(&config("terraformer", half)));
    assert!(message.contains("half of `d_model` 40") && message.contains("`n_heads` 8"), "{message}");
}

/// Reads a little, if the model loads.
fn try_out(config: &Value) {
    // sizes first: a model of numbers that are too large is not made
    let name = config["model_type"].as_str().unwrap();
    let store = Arc::new(Store::blueprint());
    let Ok(loaded) = (arch(name).load)(config, &store.root()) else { return };
    assert!(loaded.model.state_bytes(3, 3) < usize::MAX);
    if store.parameters() < 1 << 22
        && let Ok(model) = load(config)
        && let Ok((mut state, _)) = model.encode(&Source::new(vec![vec![3, 2, 1]]))
    {
        drop(model.score(&[vec![0, 1]], &mut state));
    }
}

/// No value of any key panics, hangs or eats the memory.
#[test]
fn odd_values_of_any_key_are_errors_or_harmless() {
    let odd = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(1.5),
        json!(1e30),
        json!("x"),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!(1_000_000_000),
        json!(1u64 << 63),
        json!(u64::MAX),
        json!([0, 0]),
        json!([1u64 << 63, 1u64 << 63]),
    ];
    let more =
        ["n_layers", "ff_activation", "ff_sparsity_type", "loss_sparsity_type", "loss_d_lowrank", "time_bin_length", "center_layernorm"];
    let also = ["pos_axial_shape", "pos_d_axial_embs", "d_attention_key", "d_head", "output_vocab_size", "enc_dec_attention_sparsity"];
    let inner = ["type", "sparsity", "length_kernel_size", "kernel_size", "share_qk", "output_layer_type", "v_concat_type", "lowrank"];
    let lsh =
        ["numerical_stabilizer", "weights", "n_hashes", "n_buckets", "chunk_len", "n_chunks_before", "n_chunks_after", "seed", "other"];
    for name in NAMES {
        let tiny = config(name, json!({}));
        let own = tiny.as_object().unwrap().keys().map(String::as_str).filter(|k| *k != "model_type");
        for key in own.chain(more).chain(also).chain(["attention", "encoder_attention"]) {
            for value in &odd {
                try_out(&config(name, json!({key: value})));
            }
        }
        for kind in [
            json!({"type": "mult_conv"}),
            json!({"type": "lsh", "n_buckets": 4, "sparsity": 4}),
            json!({"type": "modular"}),
            json!({"type": "lowrank"}),
        ] {
            for key in inner.into_iter().chain(lsh) {
                for value in &odd {
                    let mut attention = kind.clone();
                    attention[key] = value.clone();
                    try_out(&config(name, json!({"attention": attention})));
                    try_out(&config(name, json!({"encoder_attention": attention})));
                }
            }
        }
        for pos in ["sin-cos", "time-bin", "axial", "no"] {
            for value in &odd {
                try_out(&config(
                    name,
                    json!({"pos_type": pos, "time_bin_length": value, "pos_axial_shape": value, "pos_d_axial_embs": value}),
                ));
                try_out(&config(name, json!({"pos_type": pos, "pos_axial_shape": [value, value], "pos_d_axial_embs": [12, 12]})));
            }
        }
        for kind in ["lowrank", "einsum", "local", "local3"] {
            for value in &odd {
                try_out(&config(name, json!({"loss_sparsity_type": kind, "loss_sparsity": value, "loss_d_lowrank": 3})));
                try_out(&config(name, json!({"loss_sparsity_type": kind, "loss_sparsity": 4, "loss_d_lowrank": value})));
            }
        }
    }
}
