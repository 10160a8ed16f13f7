//! What does not fit is told: tensors, modules, numbers, configurations.

use super::*;

#[test]
fn tensors_that_do_not_fit_are_told() {
    let file = "lora/adapter_model.safetensors: ";
    let with = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = q();
        change(&mut tensors);
        World::new(&base(), &tensors, &config()).said(true)
    };
    let extra = |name: &'static str, shape: &[usize]| with(&|t| t.push((name, shape.to_vec())));
    for (said, wanted) in [
        (with(&|t| drop(t.remove(1))), "`model.layers.0.q` has `lora_A` and no `lora_B`"),
        (with(&|t| drop(t.remove(2))), "`model.layers.1.q` has `lora_B` and no `lora_A`"),
        (with(&|t| t.truncate(2)), "no `lora_A` and `lora_B` of `model.layers.1.q`, which `target_modules` of adapter_config.json covers"),
        (with(&Vec::clear), "no tensor of `q`, which `target_modules` of adapter_config.json names"),
        (
            with(&|t| t[0].1 = vec![3, 4]),
            "tensor `base_model.model.model.layers.0.q.lora_A.weight` has shape [3, 4], adapter_config.json asks for rank 2",
        ),
        (
            with(&|t| t[1].1 = vec![4, 1]),
            "tensor `base_model.model.model.layers.0.q.lora_B.weight` has shape [4, 1], adapter_config.json asks for rank 2",
        ),
        (
            with(&|t| t[0].1 = vec![2, 5]),
            "`model.layers.0.q`: `lora_A` of 5 columns and `lora_B` of 4 rows do not fit the base model's tensor of shape [4, 4]",
        ),
        (
            with(&|t| t[1].1 = vec![6, 2]),
            "`model.layers.0.q`: `lora_A` of 4 columns and `lora_B` of 6 rows do not fit the base model's tensor of shape [4, 4]",
        ),
        (
            with(&|t| t[0].1 = vec![2, 4, 1]),
            "tensor `base_model.model.model.layers.0.q.lora_A.weight` has shape [2, 4, 1], not two dimensions",
        ),
        (extra("base_model.model.model.layers.2.q.lora_A.weight", &[2, 4]), "`model.layers.2.q` has `lora_A` and no `lora_B`"),
        (
            extra("base_model.model.model.norm.weight", &[4]),
            "tensor `base_model.model.model.norm.weight` is of no module that adapter_config.json names: neither `modules_to_save` nor `bias` explains it",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_diag.default", &[2]),
            "tensor `base_model.model.model.layers.0.q.lora_diag.default` is none of an adapter of LoRA",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_A.default.weight", &[2, 4]),
            "tensors `base_model.model.model.layers.0.q.lora_A.default.weight` and `base_model.model.model.layers.0.q.lora_A.weight` are the same part of `model.layers.0.q`",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_magnitude_vector", &[4]),
            "tensor `base_model.model.model.layers.0.q.lora_magnitude_vector` is there, adapter_config.json has no `use_dora`",
        ),
        (
            extra("base_model.model.model.layers.0.q.lora_B.bias", &[4]),
            "tensor `base_model.model.model.layers.0.q.lora_B.bias` is there, adapter_config.json has no `lora_bias`",
        ),
        (
            extra("base_model.model.model.layers.0.q.base_layer.bias", &[4]),
            "tensor `base_model.model.model.layers.0.q.base_layer.bias` is of no module that adapter_config.json names: neither `modules_to_save` nor `bias` explains it",
        ),
        (
            extra("base_model.model.model.shared.token_adapter.trainable_tokens_delta", &[1, 4]),
            "tensor `base_model.model.model.shared.token_adapter.trainable_tokens_delta` is there, `trainable_token_indices` of adapter_config.json does not name `model.shared`",
        ),
        (
            extra("base_model.model.model.shared.weight", &[10, 4]),
            "tensor `base_model.model.model.shared.weight` has shape [10, 4], the base model's `model.shared.weight` has [9, 4]",
        ),
    ] {
        let (message, hint) = said.split_once(" | ").unwrap();
        assert_eq!(message.strip_prefix(file), Some(wanted), "{message}");
        assert!(!hint.is_empty(), "{message}");
    }
}

#[test]
fn modules_that_are_none_are_told() {
    let pair = |module: &str| -> Tensors {
        ["lora_A", "lora_B"]
            .map(|p| (&*format!("base_model.model.{module}.{p}.weight").leak(), if p == "lora_A" { vec![2, 4] } else { vec![4, 2] }))
            .into()
    };
    let said = |module: &str| World::new(&base(), &q().into_iter().chain(pair(module)).collect(), &config()).said(true);
    let unknown = said("model.layers.2.q");
    assert!(
        unknown.contains("`model.layers.2.q` is no module of the base model, which has no tensor `model.layers.2.q.weight`"),
        "{unknown}"
    );
    assert!(unknown.contains("the nearest names are `model.layers.0.q.weight`"), "{unknown}");
    let other = said("model.layers.0.up");
    assert!(other.contains("`model.layers.0.up` is none of the modules that `target_modules` of adapter_config.json names"), "{other}");
}

#[test]
fn numbers_that_are_none_are_told() {
    let world = merged();
    let path = world.0.path().join("lora").join(WEIGHTS);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert!(world.said(true).contains("holds NaN at index"), "{}", world.said(true));
    std::fs::write(&path, &bytes[..40]).unwrap();
    assert!(world.said(true).contains("not a readable safetensors file"), "{}", world.said(true));
}

#[test]
fn what_is_covered_by_the_configuration_must_be_there() {
    let said = |tensors: &Tensors, key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        World::new(&base(), tensors, &config).said(true)
    };
    let all = q();
    for (key, value, wanted) in [
        ("target_modules", json!(["q", "up"]), "no tensor of `up`, which `target_modules` of adapter_config.json names"),
        ("target_modules", json!(r".*\.(q|up)"), "no `lora_A` and `lora_B` of `model.layers.0.up`, which `target_modules`"),
        ("layers_to_transform", json!([1]), "`model.layers.0.q` is none of the modules that `target_modules`"),
        ("layers_to_transform", json!(1), "`model.layers.0.q` is none of the modules that `target_modules`"),
        ("exclude_modules", json!(["0.q"]), "`model.layers.0.q` is none of the modules that `target_modules`"),
        ("modules_to_save", json!(["norm"]), "no tensor for `model.norm.weight`, which `modules_to_save`"),
        ("modules_to_save", json!(["lm_head"]), "no tensor of `lm_head`, which `modules_to_save`"),
        ("bias", json!("all"), "no tensor for `model.layers.0.q.bias`, which `bias`"),
        ("bias", json!("lora_only"), "no tensor for `model.layers.0.q.bias`, which `bias`"),
        ("use_dora", json!(true), "`model.layers.0.q` has no `lora_magnitude_vector`, which `use_dora` asks for"),
        ("lora_bias", json!(true), "`model.layers.0.q` has no bias beside `lora_B`, which `lora_bias` asks for"),
        ("rank_pattern", json!({"0.q": 3}), "asks for rank 3"),
        ("rank_pattern", json!({r"layers\.1\.q": 1}), "asks for rank 1"),
        ("r", json!(4), "asks for rank 4"),
        (
            "trainable_token_indices",
            json!({"shared": [1]}),
            "lora/adapter_model.safetensors: no tensor `token_adapter.trainable_tokens_delta` of `shared`, which `trainable_token_indices` of adapter_config.json names | the adapter's file is incomplete",
        ),
        ("trainable_token_indices", json!([1, 2]), "no tensor `token_adapter.trainable_tokens_delta`, which `trainable_token_indices` of"),
    ] {
        let said = said(&all, key, value);
        assert!(said.contains(wanted), "{key}: {said}");
    }
    // "all-linear" tells no names: modules called alike are covered together
    let one = all[..2].to_vec();
    assert!(said(&one, "target_modules", json!("all-linear")).contains("no `lora_A` and `lora_B` of `model.layers.1.q`"));
    // layers that are not asked for are not missed
    let mut config = config();
    config["layers_to_transform"] = json!([0]);
    assert!(World::new(&base(), &one, &config).store(true, Held::default()).is_ok());
}

/// Numbers that no weight can be are the adapter's fault, not the base model's.
#[test]
fn scales_beyond_all_weights_are_the_adapters_fault() {
    let world = |alpha: f64, keys: Value| {
        let mut config = config();
        config["lora_alpha"] = alpha.into();
        keys.as_object().unwrap().iter().for_each(|(k, v)| config[k] = v.clone());
        World::new(&base(), &q(), &config)
    };
    let said = world(1e39, json!({})).said(true);
    let wanted = "lora/adapter_config.json: `lora_alpha` is 1e39: over rank 2 that multiplies the change of `model.layers.0.q` by 5e38, beyond the largest f32 | is a digit";
    assert!(said.starts_with(wanted), "{said}");
    let said = world(4.0, json!({"alpha_pattern": {"1.q": -1e300}})).said(true);
    assert!(said.contains("`alpha_pattern` is -1e300: over rank 2 that multiplies the change of `model.layers.1.q`"), "{said}");
    // a scale that an f32 holds, and sums that none holds, wherever they are read
    let name = "model.layers.0.q.weight";
    let form = Form::whole((4, 4), Layout::OutIn);
    for weights in [Precision::F32, Precision::Bf16] {
        let store = world(6.7e38, json!({})).store(true, Held { weights, ..Held::default() }).unwrap();
        for e in [store.root().get(name, &[4, 4]).unwrap_err(), store.root().packed(name, &form, None).map(drop).unwrap_err()] {
            let wanted = "adapter_config.json: merged with this adapter, tensor `model.layers.0.q.weight` of the base model holds ";
            assert!(e.message().contains(wanted) && e.message().contains("inf at index "), "{e}");
            assert!(e.remedy().is_some_and(|r| r.contains("`lora_alpha` (6") && r.contains("`r` (2)")), "{e}");
        }
    }
    // beyond bf16 alone
    let exact = by_hand(name, [Q[0], Q[1]]).iter().zip(numbers(name, &[4, 4])).map(|(m, w)| ((m - w) / 2.0).abs()).fold(0.0, f32::max);
    let store =
        world(2.0 * f64::from(3.4e38 / exact), json!({})).store(true, Held { weights: Precision::Bf16, ..Held::default() }).unwrap();
    assert!(store.root().get(name, &[4, 4]).is_ok());
    let e = store.root().packed(name, &form, None).map(drop).unwrap_err();
    assert!(e.message().contains("adapter_config.json: merged") && e.message().ends_with(", beyond the largest bf16"), "{e}");
}

#[test]
fn files_that_are_none_are_told() {
    let world = merged();
    let lora = world.0.path().join("lora");
    let said = |path: &Path| Adapter::open(path).map(drop).unwrap_err();
    let file = said(&lora.join(CONFIG));
    assert!(file.message().ends_with("adapter_config.json: a file, not a directory"), "{file}");
    assert!(file.remedy().is_some_and(|r| r.contains("takes a directory")), "{file}");
    for text in ["", "{", "[]"] {
        std::fs::write(lora.join(CONFIG), text).unwrap();
        let e = said(&lora);
        assert!(
            e.message().contains("lora/adapter_config.json: not ") && e.remedy().is_some_and(|r| r.contains("save the adapter anew")),
            "{e}"
        );
    }
    std::fs::remove_file(lora.join(CONFIG)).unwrap();
    std::fs::create_dir(lora.join(CONFIG)).unwrap();
    assert!(said(&lora).message().ends_with("adapter_config.json: a directory, not a file"));
}

#[test]
fn configurations_that_cannot_be_merged_are_told() {
    let parse = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        Config::parse(&config)
    };
    for (key, value, wanted) in [
        ("peft_type", json!("LOHA"), "`peft_type: LOHA` is not implemented, only `LORA`"),
        ("peft_type", json!(null), "no `peft_type`"),
        ("r", json!(0), "`r` must be a whole number of at least 1, not 0"),
        ("r", json!(-3), "`r` must be a whole number of at least 1, not -3"),
        ("r", json!(null), "`r` must be a whole number of at least 1, not null"),
        ("lora_alpha", json!("x"), "`lora_alpha` must be a number, not \"x\""),
        ("rank_pattern", json!({"q": 0}), "`rank_pattern.q` must be a whole number of at least 1, not 0"),
        ("alpha_pattern", json!({"q": null}), "`alpha_pattern.q` must be a number, not null"),
        ("alpha_pattern", json!([1]), "`alpha_pattern` must be a table of names, not [1]"),
        ("rank_pattern", json!([]), "`rank_pattern` must be a table of names, not []"),
        ("alpha_pattern", json!(""), "`alpha_pattern` must be a table of names, not \"\""),
        ("rank_pattern", json!({"(": 1}), "`rank_pattern`: `(` is no regular expression that this program reads"),
        ("target_modules", json!("("), "`target_modules`: `(` is no regular expression that this program reads"),
        ("target_modules", json!([1]), "`target_modules` must be a list of names, not [1]"),
        ("target_modules", json!({"q": 1}), "`target_modules` must be a list of names, not {\"q\":1}"),
        ("use_rslora", json!("yes"), "`use_rslora` must be true or false, not \"yes\""),
        ("bias", json!("some"), "`bias` must be `none`, `lora_only` or `all`, not \"some\""),
        ("layers_to_transform", json!(["x"]), "`layers_to_transform` must be a number or a list of numbers, not [\"x\"]"),
        ("layers_pattern", json!("h"), "`layers_pattern` without `layers_to_transform` says nothing"),
        ("trainable_token_indices", json!({"wte": [-1]}), "`trainable_token_indices` must hold lists of token ids"),
        ("init_lora_weights", json!("pissa_niter_4"), "`init_lora_weights: \"pissa_niter_4\"` is not implemented"),
        ("init_lora_weights", json!("loftq"), "`init_lora_weights: \"loftq\"` is not implemented"),
        ("layer_replication", json!([[0, 1]]), "`layer_replication` is not implemented: such an adapter repeats layers"),
        (
            "alora_invocation_tokens",
            json!([1]),
            "`alora_invocation_tokens` is not implemented: such an adapter works from certain tokens on, not everywhere",
        ),
        ("megatron_config", json!({"a": 1}), "`megatron_config` is not implemented: such an adapter splits modules over machines"),
        ("target_parameters", json!(["a"]), "`target_parameters` is not implemented"),
        ("use_qalora", json!(true), "`use_qalora` is not implemented"),
        ("kasa_config", json!({"a": 1}), "`kasa_config` is not implemented"),
        ("frobnicate", json!(2), "`frobnicate: 2` is unknown here and may change what is computed"),
    ] {
        let error = parse(key, value).expect_err(key);
        assert!(error.message().starts_with(&format!("adapter_config.json: {wanted}")), "{key}: {error}");
    }
    for (key, value) in [
        ("frobnicate", json!(null)),
        ("frobnicate", json!([])),
        ("layer_replication", json!(null)),
        ("loftq_config", json!({})),
        ("rank_pattern", json!({})),
        ("alpha_pattern", json!(null)),
        ("init_lora_weights", json!("gaussian")),
        ("lora_alpha", json!(2.5)),
        ("r", json!(u64::MAX)),
        ("lora_dropout", json!(0.1)),
        ("target_modules", json!("all-linear")),
    ] {
        assert!(parse(key, value.clone()).is_ok(), "{key}: {value}");
    }
    assert!(Config::parse(&json!([])).is_err());
}
