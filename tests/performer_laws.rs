//! Laws of attention by random features: how far it is from the softmax that it stands for, and what a text may and may not change.

use effattn::arch::REGISTRY;
use effattn::kernel::features::{Features, Kernel, Norms, orthogonal};
use effattn::kernel::linear::{Layout, Packed};
use effattn::kernel::linear_attention::Turn;
use effattn::model::{Model, Source};
use effattn::weights::Store;
use serde_json::{Value, json};
use std::sync::Arc;

/// Normal numbers of this deviation (Box and Muller).
fn normal(n: usize, seed: u64, deviation: f64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..n).map(|_| (deviation * (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}

const D: usize = 16;
const L: usize = 64;

/// softmax(Q Kᵀ / √D) V in f64.
fn exact(q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let row = |q: &[f32]| -> Vec<f64> {
        let weights: Vec<f64> = k.chunks(D).map(|k| (dot(q, k) / (D as f64).sqrt()).exp()).collect();
        let norm: f64 = weights.iter().sum();
        (0..D).map(|i| weights.iter().zip(v.chunks(D)).map(|(w, v)| w / norm * f64::from(v[i])).sum()).collect()
    };
    q.chunks(D).flat_map(row).collect()
}

/// The relative distance of m features' output from the exact one, in the norm of Frobenius.
fn error(m: usize, seed: u64) -> f64 {
    let [q, k, v] = [(1, 0.5), (2, 0.5), (3, 1.0)].map(|(i, deviation)| normal(L * D, 1000 * seed + i, deviation));
    let projection = Packed::new(&orthogonal(seed, (m, D), Norms::Gaussian), (m, D), Layout::OutIn, None);
    let features = Features::new(projection, Kernel::Softmax, 0.0, (1, D));
    let mut sums = features.sums(1);
    features.attend(&mut [Turn { q: &[], k: &k, v: &v, sums: &mut sums.0[0] }]);
    let got = features.attend(&mut [Turn { q: &q, k: &[], v: &[], sums: &mut sums.0[0] }]);
    let want = exact(&q, &k, &v);
    let far: f64 = got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum();
    (far / want.iter().map(|w| w * w).sum::<f64>()).sqrt()
}

#[test]
fn the_error_against_softmax_falls_as_one_over_the_root_of_the_features() {
    let mean = |m: usize| (0..20).map(|seed| error(m, seed)).sum::<f64>() / 20.0;
    let points: Vec<(f64, f64)> = [256, 512, 1024, 2048, 4096].map(|m| ((m as f64).ln(), mean(m).ln())).to_vec();
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    let last = points.last().unwrap().1.exp();
    println!("exponent {slope:.3}, {:.2} % with 4096 features", 100.0 * last);
    assert!((slope + 0.5).abs() < 0.1, "exponent {slope}");
    assert!((0.04..0.07).contains(&last), "{last} with 4096 features");
}

/// A causal model of lucidrains' with the softmax kernel.
fn model(quirks: bool) -> Box<dyn Model> {
    let arch = REGISTRY.iter().find(|a| a.model_type == "performer_lm").unwrap();
    let mut config: Value = json!({"model_type": "performer_lm", "num_tokens": 61, "dim": 24, "depth": 2, "heads": 3, "dim_head": 8, "max_seq_len": 120, "causal": true});
    config["reference_quirks"] = json!(quirks);
    (arch.load)(&config, &Arc::new(Store::random(3)).root()).unwrap().model
}

fn logits(model: &dyn Model, calls: &[&[u32]]) -> Vec<Vec<f32>> {
    let mut state = model.encode(&Source::new(vec![vec![5]])).unwrap().0;
    calls.iter().flat_map(|tokens| model.score(&[tokens.to_vec()], &mut state).unwrap().to_vec3::<f32>().unwrap().remove(0)).collect()
}

/// With the reference's faults a later token may change earlier logits, and where a text is cut matters; without them neither does.
#[test]
fn the_reference_is_not_causal_and_its_fault_is_ours_only_when_asked_for() {
    let text: Vec<u32> = (0..40).map(|i| 3 + i * 7 % 58).collect();
    let changed = |quirks: bool| {
        let model = model(quirks);
        logits(&*model, &[&text])[..20] != logits(&*model, &[&text[..20]])
    };
    assert!(changed(true) && !changed(false));
    let cut = |quirks: bool| logits(&*model(quirks), &[&text]) != logits(&*model(quirks), &[&text[..11], &text[11..]]);
    assert!(cut(true) && !cut(false));
}

#[test]
fn options_that_make_no_sense_are_errors() {
    let arch = REGISTRY.iter().find(|a| a.model_type == "performer_lm").unwrap();
    let base: Value = serde_json::from_str(arch.tiny).unwrap();
    for (key, value) in [
        ("cross_attend", json!(true)),
        ("kernel_fn", json!("gelu")),
        ("heads", json!(0)),
        ("heads", json!(7)),
        ("dim_head", json!(u64::MAX)),
        ("dim_head", json!(9)),
        ("nb_features", json!(0)),
        ("max_seq_len", json!(0)),
        ("local_attn_heads", json!(4)),
        ("local_attn_heads", json!([0, 1, 1])),
        ("local_attn_heads", json!("two")),
        ("local_window_size", json!(0)),
        ("ff_mult", json!(u64::MAX)),
        ("unheard_of", json!(1)),
    ] {
        let mut config = base.clone();
        config[key] = value.clone();
        let failed = (arch.load)(&config, &Arc::new(Store::blueprint()).root()).err();
        assert!(failed.is_some_and(|e| e.message().contains("config.json")), "{key}: {value}");
    }
    let axial = json!({"rotary_position_emb": false, "axial_position_emb": true, "axial_position_shape": [0, 4]});
    let config: Value = base.as_object().unwrap().iter().chain(axial.as_object().unwrap()).map(|(k, v)| (k.clone(), v.clone())).collect();
    assert!((arch.load)(&config, &Arc::new(Store::blueprint()).root()).is_err());
}
