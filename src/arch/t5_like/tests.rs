use super::*;
use crate::arch::{Arch, Loaded, REGISTRY};
use crate::model::{Model, Source};
use crate::weights::Store;
use serde_json::{Value, json};

fn arch(model_type: &str) -> (&'static Arch, Value) {
    let arch = REGISTRY.iter().find(|a| a.model_type == model_type).unwrap();
    (arch, serde_json::from_str(arch.tiny).unwrap())
}

/// The tiny configuration with other keys.
fn with(model_type: &str, keys: &Value) -> (&'static Arch, Value) {
    let (arch, mut config) = arch(model_type);
    keys.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    (arch, config)
}

fn load(model_type: &str, keys: &Value, store: Store) -> Result<Loaded> {
    let (arch, config) = with(model_type, keys);
    (arch.load)(&config, &Arc::new(store).root())
}

fn sizes(keys: &Value) -> Sizes {
    serde_json::from_value(with("t5", keys).1).unwrap()
}

/// What `T5Config` of transformers 5.23 makes of these keys: `scale_decoder_outputs`; `dense_act_fn`, `is_gated_act`.
#[test]
fn keys_mean_what_the_reference_reads_in_them() {
    for (keys, scaled) in [
        (json!({}), true),
        (json!({"tie_word_embeddings": true}), true),
        (json!({"tie_word_embeddings": null}), true),
        (json!({"tie_word_embeddings": false}), false),
        (json!({"tie_word_embeddings": true, "scale_decoder_outputs": false}), false),
        (json!({"tie_word_embeddings": false, "scale_decoder_outputs": true}), true),
        (json!({"tie_word_embeddings": false, "scale_decoder_outputs": false}), false),
    ] {
        assert_eq!(sizes(&keys).output().scaled, scaled, "{keys}");
    }
    for (keys, activation, gated) in [
        (json!({"feed_forward_proj": "relu"}), Activation::Relu, false),
        (json!({"feed_forward_proj": "gelu"}), Activation::Gelu, false),
        (json!({"feed_forward_proj": "gelu_new"}), Activation::GeluTanh, false),
        (json!({"feed_forward_proj": "gated-gelu"}), Activation::GeluTanh, true),
        (json!({"feed_forward_proj": "gated-gelu_new"}), Activation::GeluTanh, true),
        (json!({"feed_forward_proj": "gated-silu"}), Activation::Silu, true),
        (json!({"feed_forward_proj": "gated-gelu", "dense_act_fn": "relu"}), Activation::Relu, true),
        (json!({"feed_forward_proj": "gated-gelu", "is_gated_act": false}), Activation::GeluTanh, false),
        (json!({"feed_forward_proj": "relu", "is_gated_act": null, "dense_act_fn": null}), Activation::Relu, false),
    ] {
        assert_eq!(sizes(&keys).activation().unwrap(), (activation, gated), "{keys}");
    }
    assert_eq!(sizes(&json!({"num_decoder_layers": null})).layers(), (2, 2));
}

/// umT5 of transformers 4.57.6 scales unless config.json says that the matrices are two, that of 5.23 always; a checkpoint of the hub says it.
#[test]
fn only_the_quirk_scales_what_was_trained_without() {
    for (keys, quirks, scaled, own) in [
        (json!({"tie_word_embeddings": false}), false, false, true),
        (json!({"tie_word_embeddings": false}), true, true, true),
        (json!({"tie_word_embeddings": true}), false, true, false),
        (json!({"tie_word_embeddings": true}), true, true, false),
        (json!({}), false, true, false),
        (json!({"tie_word_embeddings": null, "scale_decoder_outputs": false}), false, true, false),
    ] {
        assert_eq!(crate::arch::umt5::output(&sizes(&keys), quirks), Output { scaled, own }, "{keys}, {quirks}");
    }
    let run = |model_type: &str, keys: Value| first_logits(&*load(model_type, &keys, Store::random(7)).unwrap().model);
    let (plain, quirk) = (run("umt5", json!({})), run("umt5", json!({"reference_quirks": true})));
    let by = 24f32.sqrt();
    assert!(plain.iter().zip(&quirk).all(|(a, b)| (a - b * by).abs() < 1e-4) && plain != quirk);
    // mT5's are never scaled, and say so in one way or the other
    for keys in [json!({"tie_word_embeddings": true}), json!({"scale_decoder_outputs": true}), json!({"reference_quirks": true})] {
        assert!(run("mt5", keys.clone()) == run("mt5", json!({})), "{keys}");
    }
}

/// Where a file lacks them, `MT5Config` and `UMT5Config` of transformers 5.23 have sizes; T5's are not guessed.
#[test]
fn keys_that_are_left_out_are_the_librarys() {
    let load = |config: Value| {
        let (arch, _) = arch(config["model_type"].as_str().unwrap());
        let store = Arc::new(Store::blueprint());
        (arch.load)(&config, &store.root()).map(|loaded| (loaded.model.info().vocab_size, loaded.model.info().layers, store.parameters()))
    };
    let (d, inner, ff, vocab) = (512, 6 * 64, 1024, 250_112);
    // encoder and decoder: attention, the gated layer, norms; tables by distance; norms at the end; input and output
    let parameters = 8 * (4 * d * inner + 3 * d * ff + 2 * d) + 8 * (8 * d * inner + 3 * d * ff + 3 * d) + 2 * d;
    assert_eq!(load(json!({"model_type": "mt5"})).unwrap(), (vocab, (8, 8), parameters + 2 * 32 * 6 + 2 * vocab * d));
    assert_eq!(load(json!({"model_type": "umt5"})).unwrap(), (vocab, (8, 8), parameters + 16 * 32 * 6 + vocab * d));
    assert_eq!(load(json!({"model_type": "mt5", "num_layers": 3, "vocab_size": 99})).unwrap().1, (3, 3));
    assert_eq!(load(json!({"model_type": "t5"})).unwrap_err().message(), "config.json: missing field `vocab_size`");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (model_type, keys, word) in [
        ("t5", json!({"feed_forward_proj": "gated-gelu-new"}), "feed_forward_proj"),
        ("t5", json!({"feed_forward_proj": "glu-relu"}), "feed_forward_proj"),
        ("t5", json!({"feed_forward_proj": "gated-"}), "activation"),
        ("t5", json!({"dense_act_fn": "mish"}), "mish"),
        ("t5", json!({"num_heads": 0}), "num_heads"),
        ("t5", json!({"d_kv": u64::MAX}), "d_kv"),
        ("t5", json!({"num_layers": 0}), "num_layers"),
        ("t5", json!({"num_decoder_layers": 0}), "num_decoder_layers"),
        ("t5", json!({"relative_attention_num_buckets": 3}), "relative_attention_num_buckets"),
        ("t5", json!({"relative_attention_max_distance": 4}), "relative_attention_max_distance"),
        ("t5", json!({"layer_norm_epsilon": -1.0}), "layer_norm_epsilon"),
        ("longt5", json!({"layer_norm_epsilon": 1e308}), "layer_norm_epsilon"),
        ("t5", json!({"architectures": ["T5EncoderModel"]}), "T5EncoderModel"),
        ("t5", json!({"architectures": ["LongT5ForConditionalGeneration"]}), "LongT5ForConditionalGeneration"),
        ("t5", json!({"is_encoder_decoder": false}), "is_encoder_decoder"),
        ("t5", json!({"decoder_start_token_id": null}), "decoder_start_token_id"),
        ("t5", json!({"attention_choice": "sparse"}), "--attention sparse"),
        ("longt5", json!({"architectures": ["LongT5EncoderModel"]}), "LongT5EncoderModel"),
        ("mt5", json!({"architectures": ["MT5EncoderModel"]}), "MT5EncoderModel"),
        ("mt5", json!({"feed_forward_proj": "gated-gelu-new"}), "feed_forward_proj"),
        ("umt5", json!({"architectures": ["MT5ForConditionalGeneration"]}), "MT5ForConditionalGeneration"),
        ("umt5", json!({"d_kv": 0}), "d_kv"),
        // a table in each layer: more in all than memory has
        ("umt5", json!({"num_layers": 4096, "relative_attention_max_distance": 65_536}), "relative_attention_max_distance"),
        ("longt5", json!({"global_block_size": 0}), "global_block_size"),
        ("longt5", json!({"encoder_attention_type": "global"}), "transient-global"),
        ("longt5", json!({"attention_choice": "block=64"}), "--attention block=64"),
    ] {
        let failed = load(model_type, &keys, Store::blueprint()).err().unwrap_or_else(|| panic!("{keys} loads"));
        assert!(failed.message().contains(word), "{keys}: {failed}");
    }
    for fine in [json!({"architectures": ["T5ForConditionalGeneration"]}), json!({"architectures": []}), json!({"architectures": null})] {
        assert!(load("t5", &fine, Store::blueprint()).is_ok(), "{fine}");
    }
}

/// Numbers of any size end in a model that can tell its sizes or in an error.
#[test]
fn no_number_is_too_much() {
    let numbers = [0u64, 1, 2, 3, 5, 7, 64, 4096, 65_536, 1 << 20, 1 << 24, 1 << 32, 1 << 40, u64::MAX >> 1, u64::MAX];
    let tell = |model_type: &str, keys: Value| {
        let Ok(loaded) = load(model_type, &keys, Store::blueprint()) else { return };
        let model = loaded.model;
        let told = (model.state_bytes(100, 100), model.encode_bytes(100), model.step_bytes(), model.attention(100));
        assert!(told.0 > 0 && told.1 > 0 && told.2 > 0 && !told.3.is_empty(), "{model_type} {keys}");
    };
    for model_type in ["t5", "mt5", "umt5", "longt5"] {
        let (_, config) = arch(model_type);
        let keys: Vec<&String> = config.as_object().unwrap().keys().filter(|key| config[*key].is_number()).collect();
        keys.iter().for_each(|key| numbers.iter().for_each(|n| tell(model_type, json!({*key: n}))));
        for (i, a) in keys.iter().enumerate() {
            let pairs = keys[i + 1..].iter().flat_map(|b| [65_536, 1 << 20, 1 << 24].map(|n| (b, n)));
            pairs.for_each(|(b, n)| tell(model_type, json!({*a: n, *b: n})));
        }
    }
}

/// A checkpoint of tables (4, 2) that hold one number each.
fn checkpoint(tables: &[(&str, f32)]) -> Store {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, number) in tables {
        let from = data.len();
        (0..8).for_each(|_| data.extend(number.to_le_bytes()));
        header.insert((*name).to_owned(), json!({"dtype": "F32", "shape": [4, 2], "data_offsets": [from, data.len()]}));
    }
    let header = Value::from(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    Store::from_static("tables", Box::leak(bytes.into_boxed_slice())).unwrap()
}

/// A table that is there is used, one that is not is the shared one, and what holds the same is read once: for the encoder, the decoder and the output.
#[test]
fn tables_are_tied_as_the_checkpoint_has_them() {
    let (shared, encoder, decoder, head) =
        ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight");
    for (tables, numbers) in [
        (vec![(shared, 1.0)], [1.0, 1.0, 1.0]),
        (vec![(shared, 1.0), (encoder, 1.0), (decoder, 1.0), (head, 1.0)], [1.0, 1.0, 1.0]),
        (vec![(shared, 1.0), (encoder, 1.0), (decoder, 1.0), (head, 2.0)], [1.0, 1.0, 2.0]),
        (vec![(shared, 1.0), (head, 2.0)], [1.0, 1.0, 2.0]),
        (vec![(encoder, 3.0)], [3.0, 3.0, 3.0]),
        (vec![(shared, 1.0), (decoder, 3.0)], [1.0, 3.0, 1.0]),
    ] {
        for tie in [true, false] {
            let store = Arc::new(checkpoint(&tables));
            let s = sizes(&json!({"vocab_size": 4, "d_model": 2, "tie_word_embeddings": tie}));
            let found = super::tables(&store.root(), &s, s.output().own).unwrap();
            store.all_read(&[]).unwrap();
            let first = found.each_ref().map(|table| {
                let mut row = [0.0; 2];
                table.row(3, &mut row);
                row[0]
            });
            assert_eq!(first, numbers, "{tables:?}, {tie}");
            for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                assert_eq!(Arc::ptr_eq(&found[i], &found[j]), numbers[i] == numbers[j], "{tables:?}: {i} and {j}");
            }
        }
    }
}

fn first_logits(model: &dyn Model) -> Vec<f32> {
    let ids = (0..30).map(|i| 3 + i * 7 % 53).collect();
    let (mut state, first) = model.encode(&Source::new(vec![ids])).unwrap();
    model.score(&[first], &mut state).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// `--attention` says what runs, and runs it.
#[test]
fn the_same_weights_run_other_attentions() {
    let local = "local";
    let global = "transient-global";
    for (model_type, kind, choice, name, as_choice) in [
        ("t5", local, "auto", "full", "auto"),
        ("t5", local, "full", "full", "auto"),
        ("t5", local, "window=60", "window=60", "full"),
        ("mt5", local, "auto", "full", "auto"),
        ("mt5", local, "window=60", "window=60", "full"),
        ("umt5", local, "full", "full", "auto"),
        ("umt5", local, "window=60", "window=60", "full"),
        ("longt5", local, "auto", "longt5 local radius=5", "window=10"),
        ("longt5", local, "full", "full", "window=58"),
        ("longt5", local, "window=10", "window=10", "auto"),
        ("longt5", global, "auto", "longt5 transient-global radius=5 slots of 4: 7", "window=10"),
        ("longt5", global, "full", "longt5 transient-global full slots of 4: 7", "window=58"),
        ("longt5", global, "window=10", "longt5 transient-global window=10 slots of 4: 7", "auto"),
    ] {
        let run = |choice: &str| {
            let keys = json!({"encoder_attention_type": kind, "attention_choice": choice});
            load(model_type, &keys, Store::random(7)).unwrap().model
        };
        let model = run(choice);
        assert_eq!(model.attention(30), name, "{model_type} {kind} {choice}");
        assert!(name.starts_with(&model.info().attention), "{model_type} {kind} {choice}: {}", model.info().attention);
        assert!(first_logits(&*model) == first_logits(&*run(as_choice)), "{model_type} {kind} {choice} is not {as_choice}");
        assert!(first_logits(&*model) != first_logits(&*run("window=6")), "{model_type} {kind} {choice} is a window of 6");
    }
}
