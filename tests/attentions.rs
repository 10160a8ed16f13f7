//! `--attention`: what another attention on the same weights is equal to. Equality means the same bits.

use effattn::arch::REGISTRY;
use effattn::model::{Model, Source};
use effattn::weights::Store;
use serde_json::{Value, json};
use std::sync::Arc;

/// A model type's tiny model, the keys of its configuration changed.
fn load(model_type: &str, change: &Value) -> effattn::Result<Box<dyn Model>> {
    let arch = REGISTRY.iter().find(|a| a.model_type == model_type).expect("it is in the registry");
    let mut config: Value = serde_json::from_str(arch.tiny).expect("JSON");
    for (key, value) in change.as_object().expect("keys") {
        config[key] = value.clone();
    }
    Ok((arch.load)(&config, &Arc::new(Store::random(5)).root())?.model)
}

/// Logits behind documents of these lengths.
fn run(model_type: &str, change: &Value, lengths: &[usize]) -> Vec<Vec<Vec<f32>>> {
    let model = load(model_type, change).unwrap_or_else(|e| panic!("{model_type} {change}: {e}"));
    let id = |i: usize, n: usize| 3 + ((i * 2_654_435_761) ^ (n * 40_503)) as u32 % 58;
    let rows = lengths.iter().map(|&n| (0..n).map(|i| id(i, n)).collect()).collect();
    let (mut state, _) = model.encode(&Source::new(rows)).expect("the documents are fine");
    let target = vec![vec![5, 9, 11]; lengths.len()];
    model.score(&target, &mut state).and_then(|x| Ok(x.to_vec3()?)).expect("scoring works")
}

fn chosen(name: &str) -> Value {
    json!({ "attention_choice": name })
}

const LENGTHS: [usize; 4] = [50, 1, 13, 64];

#[test]
fn a_chosen_size_is_that_of_the_configuration() {
    for (model_type, key, name, n) in
        [("led", "attention_window", "window", 6), ("led", "attention_window", "window", 14), ("pegasus_x", "block_size", "block", 6)]
    {
        let own = run(model_type, &json!({ key: n }), &LENGTHS);
        assert!(run(model_type, &chosen(&format!("{name}={n}")), &LENGTHS) == own, "{model_type} {name}={n}");
        assert!(run(model_type, &json!({}), &LENGTHS) != own, "{model_type}: {n} is not its own size");
    }
}

/// A window of twice the text, or a block that reaches half a block beyond it on each side, is everything; one that is a little short is not.
#[test]
fn what_reaches_over_everything_is_full() {
    for (model_type, name, enough, short) in [
        ("bart", "window", 126, 124),
        ("mbart", "window", 126, 124),
        ("pegasus", "window", 126, 124),
        // its first token sees and is seen by all anyway
        ("led", "window", 126, 122),
        ("pegasus_x", "block", 128, 126),
    ] {
        let full = run(model_type, &chosen("full"), &LENGTHS);
        for n in [enough, 2 * enough, 1 << 30] {
            assert!(run(model_type, &chosen(&format!("{name}={n}")), &LENGTHS) == full, "{model_type} {name}={n}");
        }
        assert!(run(model_type, &chosen(&format!("{name}={short}")), &LENGTHS) != full, "{model_type} {name}={short}");
        let auto = run(model_type, &chosen("auto"), &LENGTHS) == full;
        assert_eq!(auto, !["led", "pegasus_x"].contains(&model_type), "{model_type}");
    }
    // without staggering a block as long as the text is enough
    let straight = |name: &str| json!({"stagger_local_blocks": false, "attention_choice": name});
    let full = run("pegasus_x", &straight("full"), &LENGTHS);
    assert!(run("pegasus_x", &straight("block=64"), &LENGTHS) == full);
    assert!(run("pegasus_x", &straight("block=63"), &LENGTHS) != full);
}

#[test]
fn what_runs_is_named() {
    let named = |model_type: &str, change: &Value, n: usize| load(model_type, change).expect("it loads").attention(n);
    for (model_type, choice, want) in [
        ("bart", "auto", "full"),
        ("mbart", "full", "full"),
        ("pegasus", "window=8", "window=8"),
        ("led", "auto", "longformer window=4/10"),
        ("led", "full", "longformer window=all"),
        ("led", "window=8", "longformer window=8"),
        ("pegasus_x", "auto", "pegasus_x block=10 global=3 staggered blocks=5"),
        ("pegasus_x", "block=6", "pegasus_x block=6 global=3 staggered blocks=7"),
        ("pegasus_x", "full", "pegasus_x block=all global=3"),
    ] {
        assert_eq!(named(model_type, &chosen(choice), 41), want, "{model_type} {choice}");
    }
    assert_eq!(named("pegasus_x", &json!({"stagger_local_blocks": false}), 41), "pegasus_x block=10 global=3 blocks=5");
    assert_eq!(load("pegasus_x", &json!({})).expect("it loads").info().attention, "pegasus_x block=10 global=3 staggered");
}

#[test]
fn sizes_that_make_no_sense_are_errors() {
    let huge = json!(u64::MAX);
    for (key, value) in [
        ("block_size", json!(0)),
        ("block_size", json!(7)),
        ("block_size", huge.clone()),
        ("num_global_tokens", huge.clone()),
        ("num_global_tokens", json!(-1)),
        ("encoder_attention_heads", json!(0)),
        ("encoder_attention_heads", json!(5)),
        ("normalize_before", json!(false)),
    ] {
        let failed = load("pegasus_x", &json!({ key: value })).err();
        assert!(failed.is_some_and(|e| e.message().contains("config.json")), "{key}: {value}");
    }
    for d in [2, 9] {
        let failed = load("pegasus_x", &json!({"d_model": d, "encoder_attention_heads": 1, "decoder_attention_heads": 1})).err();
        assert!(failed.is_some_and(|e| e.message().contains("`d_model`")), "{d}");
    }
    // an odd block is fine where nothing is staggered, and so is a table of positions without end
    for change in [
        json!({"block_size": 7, "stagger_local_blocks": false}),
        json!({"block_size": 7, "encoder_layers": 1}),
        json!({"max_position_embeddings": u64::MAX, "block_size": u64::MAX - 1}),
        json!({"num_global_tokens": 0}),
        json!({"encoder_layers": 0}),
    ] {
        assert_eq!(run("pegasus_x", &change, &[30]).len(), 1, "{change}");
    }
    for key in ["normalize_before", "normalize_embedding", "add_final_layer_norm"] {
        assert!(load("mbart", &json!({ key: false })).is_err_and(|e| e.message().contains(key)), "{key}");
    }
}

/// What config.json leaves out is as the reference has it, not as BART does.
#[test]
fn pegasus_x_has_defaults_of_its_own() {
    let without = |key: &str, change: Value| {
        let arch = REGISTRY.iter().find(|a| a.model_type == "pegasus_x").expect("it is in the registry");
        let mut config: Value = serde_json::from_str(arch.tiny).expect("JSON");
        config.as_object_mut().expect("keys").remove(key);
        for (key, value) in change.as_object().expect("keys") {
            config[key] = value.clone();
        }
        (arch.load)(&config, &Arc::new(Store::random(5)).root()).expect("it loads").model
    };
    let step = |model: &dyn Model| {
        let (mut state, first) = model.encode(&Source::new(vec![(3..40).collect()])).expect("the document is fine");
        (first.clone(), model.step(&first, &mut state).and_then(|x| Ok(x.to_vec2::<f32>()?)).expect("a step works"))
    };
    for (key, default, other) in [
        ("scale_embedding", json!(true), json!(false)),
        ("decoder_start_token_id", json!(0), json!(4)),
        ("stagger_local_blocks", json!(true), json!(false)),
        ("num_global_tokens", json!(32), json!(3)),
        ("block_size", json!(512), json!(10)),
        ("activation_function", json!("gelu"), json!("relu")),
    ] {
        let left_out = step(&*without(key, json!({})));
        assert!(left_out == step(&*without(key, json!({ key: default }))), "{key}");
        assert!(left_out != step(&*without(key, json!({ key: other }))), "{key}");
    }
    assert_eq!(without("max_position_embeddings", json!({})).info().max_source, Some(16_384));
}
