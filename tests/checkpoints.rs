//! Checkpoints that are broken, each in its own way: one clear error, its remedy, exit code 1 or 2, nothing left behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A copy of a fixture to break.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for file in std::fs::read_dir(fixture(name)).expect("the fixture") {
        let file = file.expect("readable").path();
        if file.is_file() {
            std::fs::copy(&file, dir.path().join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    std::fs::write(dir.path().join("a.txt"), "the tide gauge was read by hand").expect("a document");
    dir
}

fn effattn(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir).output().expect("the binary runs")
}

/// Decoding `a.txt` with the broken copy fails with `code`; standard error holds all of `told`, and one error only.
fn fails(dir: &tempfile::TempDir, more: &[&str], code: i32, told: &[&str]) {
    let got = effattn(dir.path(), &[&["decode", "-m", ".", "a.txt", "-o", "out.txt"], more].concat());
    let stderr = String::from_utf8_lossy(&got.stderr).into_owned();
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(code), &b""[..]), "{stderr}");
    for part in told {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
    assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for left in ["out.txt", "out.txt.partial"] {
        assert!(!dir.path().join(left).exists(), "{left} is left behind");
    }
}

fn edit_config(dir: &tempfile::TempDir, key: &str, value: serde_json::Value) {
    let path = dir.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("config")).expect("JSON");
    config[key] = value;
    std::fs::write(path, config.to_string()).expect("written");
}

/// Header and data of the copy's weights, changed by `f`.
fn edit_weights(dir: &tempfile::TempDir, f: impl FnOnce(&mut serde_json::Value, &mut Vec<u8>)) {
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).expect("weights");
    let n = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let mut header = serde_json::from_slice(&bytes[8..8 + n]).expect("a header");
    let mut data = bytes[8 + n..].to_vec();
    f(&mut header, &mut data);
    let header = header.to_string();
    std::fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()).expect("written");
}

#[test]
fn the_copy_works_before_it_is_broken() {
    let dir = copy("led-text");
    let got = effattn(dir.path(), &["decode", "-m", ".", "a.txt", "-q"]);
    assert_eq!((got.status.code(), got.stderr.as_slice()), (Some(0), &b""[..]));
    assert!(got.stdout.len() > 5);
    edit_weights(&dir, |_, _| ());
    assert_eq!(effattn(dir.path(), &["decode", "-m", ".", "a.txt", "-q"]).stdout, got.stdout);
}

#[test]
fn files_that_are_missing_or_damaged() {
    let dir = copy("led-text");
    std::fs::remove_file(dir.path().join("config.json")).expect("removed");
    fails(&dir, &[], 1, &["no config.json", "hint: a checkpoint has"]);

    let dir = copy("led-text");
    std::fs::remove_file(dir.path().join("model.safetensors")).expect("removed");
    fails(&dir, &[], 1, &["no weights here", "model.safetensors.index.json"]);

    let dir = copy("led-text");
    std::fs::write(dir.path().join("config.json"), "{").expect("written");
    fails(&dir, &[], 1, &["config.json: not valid JSON"]);

    let dir = copy("led-text");
    std::fs::remove_file(dir.path().join("tokenizer.json")).expect("removed");
    fails(&dir, &[], 1, &["no tokenizer.json", "--ids"]);

    let dir = copy("led-text");
    std::fs::write(dir.path().join("tokenizer.json"), "[]").expect("written");
    fails(&dir, &[], 1, &["tokenizer.json: "]);

    // nobody needs it where texts are ids
    let working = copy("bart-text");
    let dir = copy("bart-text");
    std::fs::write(dir.path().join("tokenizer.json"), "[]").expect("written");
    std::fs::write(dir.path().join("ids.txt"), "5 6 7").expect("written");
    std::fs::write(working.path().join("ids.txt"), "5 6 7").expect("written");
    for words in [
        &["decode", "-q", "--ids", "-m", ".", "ids.txt"][..],
        &["verify", "-q", "-m", ".", "--golden", "expected.safetensors"],
        &["bench", "-q", "-m", ".", "-p", "3", "-n", "0", "-r", "1", "--no-warmup", "-f", "csv"],
    ] {
        let (got, wanted) = (effattn(dir.path(), words), effattn(working.path(), words));
        assert_eq!((got.status.code(), got.stderr.as_slice()), (Some(0), &b""[..]), "{words:?} {got:?}");
        // times differ
        assert!(words[0] == "bench" || got.stdout == wanted.stdout && !got.stdout.is_empty(), "{words:?}");
    }
    fails(&dir, &[], 1, &["./tokenizer.json: "]);
    assert_eq!(effattn(dir.path(), &["inspect", "-m", "."]).status.code(), Some(1));

    let dir = copy("bart-sharded");
    let shard = std::fs::read_dir(dir.path()).expect("dir").map(|f| f.expect("file").path()).find(|p| p.to_string_lossy().contains("-of-"));
    std::fs::remove_file(shard.expect("a shard")).expect("removed");
    fails(&dir, &["--ids"], 1, &["missing, though", "hint: fetch all shards"]);
}

#[test]
fn weights_that_lie() {
    let path = |dir: &tempfile::TempDir| dir.path().join("model.safetensors");
    let dir = copy("led-text");
    let bytes = std::fs::read(path(&dir)).expect("weights");
    for cut in [0, 4, 8, 100, bytes.len() - 1] {
        std::fs::write(path(&dir), &bytes[..cut]).expect("written");
        fails(&dir, &[], 1, &["model.safetensors", "hint: "]);
    }
    std::fs::write(path(&dir), [&u64::MAX.to_le_bytes(), &bytes[8..]].concat()).expect("written");
    fails(&dir, &[], 1, &["not a readable safetensors file"]);
    std::fs::write(path(&dir), [&bytes[..], &[0]].concat()).expect("written");
    fails(&dir, &[], 1, &["not a readable safetensors file"]);

    let dir = copy("led-text");
    edit_weights(&dir, |header, _| header["led.shared.weight"]["data_offsets"] = serde_json::json!([0, 1u64 << 60]));
    fails(&dir, &[], 1, &["not a readable safetensors file"]);
    let dir = copy("led-text");
    edit_weights(&dir, |header, _| header["led.shared.weight"]["shape"] = serde_json::json!([u64::MAX, u64::MAX]));
    fails(&dir, &[], 1, &["not a readable safetensors file"]);
}

#[test]
fn tensors_that_are_not_what_config_says() {
    let name = "led.encoder.layers.0.fc1.weight";
    let dir = copy("led-text");
    edit_weights(&dir, |header, _| {
        let entry = header.as_object_mut().expect("an object").remove("led.encoder.layernorm_embedding.weight").expect("the tensor");
        header["led.encoder.layer_norm_embedding.weight"] = entry;
    });
    let told = [
        "model.safetensors: tensor `led.encoder.layernorm_embedding.weight` is missing",
        "nearest names are `led.encoder.layer_norm_embedding.weight`",
    ];
    fails(&dir, &[], 1, &told);

    let dir = copy("led-text");
    let mut swapped = String::new();
    edit_weights(&dir, |header, _| {
        let shape = header[name]["shape"].as_array().expect("a shape").clone();
        header[name]["shape"] = serde_json::json!([shape[1], shape[0]]);
        swapped = format!("[{}, {}]", shape[1], shape[0]);
    });
    fails(&dir, &[], 1, &["model.safetensors", &format!("`{name}` has shape {swapped}, config.json asks for")]);

    let dir = copy("led-text");
    edit_config(&dir, "encoder_layers", serde_json::json!(1));
    edit_config(&dir, "attention_window", serde_json::json!(4));
    fails(&dir, &[], 1, &["belong to nothing in this architecture", "led.encoder.layers.1."]);

    let dir = copy("led-text");
    edit_weights(&dir, |header, data| {
        let at = header[name]["data_offsets"][0].as_u64().expect("an offset") as usize;
        data[at + 8..at + 12].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    fails(&dir, &[], 1, &[&format!("`{name}` holds NaN at index 2"), "hint: the weights are damaged"]);

    let dir = copy("led-text");
    edit_weights(&dir, |header, _| header[name]["dtype"] = serde_json::json!("I32"));
    fails(&dir, &[], 1, &[&format!("`{name}` holds i32"), "f32, f16 or bf16"]);
}

#[test]
fn configurations_that_cannot_be() {
    let cases: &[(&str, serde_json::Value, &str)] = &[
        ("model_type", serde_json::json!("lde"), "`model_type` `lde` is not implemented"),
        ("activation_function", serde_json::json!("xielu"), "activation `xielu` is not implemented"),
        ("attention_window", serde_json::json!(5), "must be even and above 0, not 5"),
        ("attention_window", serde_json::json!([4, 4, 4, 4, 4]), "has 5 windows for"),
        ("encoder_attention_heads", serde_json::json!(7), "`encoder_attention_heads` is 7: 24 features do not split"),
        ("encoder_attention_heads", serde_json::json!(0), "`encoder_attention_heads` is 0: "),
        ("d_model", serde_json::json!("wide"), "invalid type"),
        ("d_model", serde_json::json!(-3), "invalid value"),
    ];
    for (key, value, told) in cases {
        let dir = copy("led-text");
        edit_config(&dir, key, value.clone());
        fails(&dir, &[], 1, &["config.json: ", told]);
    }
    let dir = copy("bart-text");
    edit_config(&dir, "normalize_before", serde_json::json!(true));
    fails(&dir, &[], 1, &["`normalize_before: true` is not implemented"]);
    let dir = copy("led-text");
    let path = dir.path().join("generation_config.json");
    std::fs::write(path, r#"{"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "eos_token_id": 2}"#).expect("written");
    fails(&dir, &[], 1, &["num_beam_groups", "generation_config.json"]);
    std::fs::write(dir.path().join("generation_config.json"), r#"{"decoder_start_token_id": 9223372036854775808}"#).expect("written");
    fails(&dir, &[], 1, &["generation_config.json: `decoder_start_token_id` is 9223372036854775808, not a token id"]);
}

#[test]
fn settings_that_cannot_be() {
    let dir = copy("led-text");
    for (flag, value) in [
        ("--temperature", "-1"),
        ("--top-p", "0"),
        ("--top-p", "1.5"),
        ("--num-return-sequences", "9"),
        ("--repetition-penalty", "0"),
        ("--temperature", "nan"),
    ] {
        let words = [&format!("{flag}={value}")[..], "--do-sample"];
        fails(&dir, &words, 2, &[&flag[2..].replace('-', "_")]);
    }
    fails(&dir, &["--global-tokens", "900"], 1, &["position 900"]);
    fails(&dir, &["--max-new-tokens", "0"], 2, &["max_new_tokens"]);
    let dir = copy("bart-text");
    fails(&dir, &["--global-tokens", "0"], 2, &["`bart` has no global attention"]);
}

#[test]
fn ids_out_of_range() {
    let dir = copy("led-text");
    std::fs::write(dir.path().join("a.txt"), "5 6 70000").expect("written");
    fails(&dir, &["--ids"], 1, &["token id 70000 is out of range", "hint: ids go from 0 to"]);
    let dir = copy("led-text");
    std::fs::write(dir.path().join("a.txt"), "").expect("written");
    fails(&dir, &[], 1, &["a.txt", "empty"]);
    std::fs::write(dir.path().join("a.txt"), b"caf\xe9").expect("written");
    fails(&dir, &[], 1, &["a.txt", "UTF-8"]);
}

#[test]
fn a_different_model_fails_verification() {
    let golden = fixture("led-windows").join("expected.safetensors");
    let golden = golden.to_str().expect("a path");
    let passes = effattn(&fixture("led-windows"), &["verify", "-m", ".", "--golden", golden, "-f", "json"]);
    assert_eq!(passes.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&passes.stdout).expect("JSON");
    assert_eq!((&report["greedy_equal"], &report["beam_equal"], &report["passed"]), (&true.into(), &true.into(), &true.into()));
    assert!(report["max_abs_logits"].as_f64().is_some_and(|x| x < 1e-5) && report["max_abs_encoder"].as_f64().is_some_and(|x| x < 1e-5));

    let dir = copy("led-windows");
    edit_config(&dir, "attention_window", serde_json::json!([4, 4, 4]));
    let got = effattn(dir.path(), &["verify", "-m", ".", "--golden", golden]);
    let table = String::from_utf8_lossy(&got.stdout).into_owned();
    assert_eq!(got.status.code(), Some(4), "{table}");
    assert!(table.contains("the first is `hidden.encoder.2`"), "{table}");

    let missing = effattn(dir.path(), &["verify", "-m", ".", "--golden", "none.safetensors"]);
    assert_eq!(missing.status.code(), Some(1));
    let damaged = effattn(dir.path(), &["verify", "-m", ".", "--golden", "config.json"]);
    assert_eq!(
        (damaged.status.code(), String::from_utf8_lossy(&damaged.stderr).contains("not a readable safetensors file")),
        (Some(1), true)
    );
}

/// As transformers has it: generation_config.json says with which token the decoder starts, config.json only where that file is missing.
#[test]
fn the_start_token_comes_from_generation_config() {
    let said = |generation: Option<&str>, config: u32| {
        let dir = copy("led-text");
        edit_config(&dir, "decoder_start_token_id", config.into());
        let path = dir.path().join("generation_config.json");
        match generation {
            Some(text) => std::fs::write(path, text).expect("written"),
            None => std::fs::remove_file(path).expect("removed"),
        }
        let got = effattn(dir.path(), &["decode", "-m", ".", "a.txt", "-q", "--num-beams", "2", "--max-new-tokens", "9", "-f", "jsonl"]);
        assert_eq!(got.status.code(), Some(0), "{}", String::from_utf8_lossy(&got.stderr));
        String::from_utf8(got.stdout).expect("JSON is text")
    };
    let with = |start: u32| said(Some(&format!(r#"{{"decoder_start_token_id": {start}, "bos_token_id": 0, "eos_token_id": 2}}"#)), 2);
    assert_ne!(with(2), with(9));
    assert_eq!(with(9), said(Some(r#"{"decoder_start_token_id": 9, "eos_token_id": 2}"#), 7));
    assert_eq!(with(0), said(Some(r#"{"bos_token_id": 0, "eos_token_id": 2}"#), 7));
    assert_eq!(with(9), said(None, 9));
}

/// Whatever instruction set computes, the reference's numbers come out.
#[test]
fn every_instruction_set_of_this_machine_agrees_with_the_reference() {
    for isa in effattn::kernel::simd::Isa::ALL.into_iter().filter(|i| i.available()) {
        for case in ["led-batch", "gpt2-plain", "pegasus-batch", "bart-untied"] {
            let golden = fixture(case).join("expected.safetensors");
            let words = ["verify", "-m", ".", "--golden", golden.to_str().expect("a path"), "--atol", "1e-4"];
            let got =
                Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).env("EFFATTN_ISA", isa.name()).current_dir(fixture(case)).output();
            let got = got.expect("the binary runs");
            assert_eq!((got.status.code(), got.stderr.as_slice()), (Some(0), &b""[..]), "{case} on {}", isa.name());
        }
    }
}

/// The published GPT-2 files have no prefix and hold a causal mask in each layer: the mask is explained, nothing else is.
#[test]
fn gpt2_as_the_hub_stores_it() {
    let dir = copy("gpt2-text");
    let decode = || effattn(dir.path(), &["decode", "-m", ".", "a.txt", "-q", "--max-new-tokens", "8", "-f", "jsonl"]);
    let before = decode();
    edit_weights(&dir, |header, data| {
        let entries = std::mem::take(header.as_object_mut().expect("an object"));
        for (name, entry) in entries {
            header[name.strip_prefix("transformer.").unwrap_or(&name)] = entry;
        }
        let end = data.len();
        data.extend([0; 16]);
        header["h.0.attn.bias"] = serde_json::json!({"dtype": "F32", "shape": [1, 1, 2, 2], "data_offsets": [end, end + 16]});
    });
    let after = decode();
    assert_eq!((before.status.code(), after.status.code()), (Some(0), Some(0)), "{}", String::from_utf8_lossy(&after.stderr));
    assert_eq!(before.stdout, after.stdout);
    edit_config(&dir, "n_layer", serde_json::json!(1));
    fails(&dir, &[], 1, &["belong to nothing in this architecture: `h.1.attn.c_attn.bias`"]);
}

/// Parameters by trax's shapes, and bytes that a step reads in f32, counted by hand; in f32 the weights take four bytes each, as no matrix of these sizes is filled up, and in int8
/// little more than one.
#[test]
fn published_sizes_have_the_papers_shapes() {
    use effattn::checkpoint::{Options, Shipped};
    use effattn::kernel::precision::Precision;
    let sizes: [(&str, usize, usize); 13] = [
        ("scaling-17b", 15_776_140_544, 31_533_765_632),
        ("scaling-17b-ff-qkv", 18_209_828_480, 1_461_099_008),
        ("scaling-17b-ff-qkv-loss", 17_951_854_208, 429_201_920),
        ("scaling-800m", 772_050_176, 1_542_173_696),
        ("scaling-800m-ff", 787_778_816, 780_907_520),
        ("scaling-800m-ff-qkv", 862_299_392, 245_175_296),
        ("scaling-800m-ff-qkv-dense-cross", 909_803_264, 435_190_784),
        ("scaling-800m-ff-qkv-loss4", 837_727_488, 146_887_680),
        ("scaling-800m-loss2", 755_668_224, 1_476_645_888),
        ("scaling-800m-loss4", 747_478_272, 1_443_886_080),
        ("scaling-800m-loss8", 743_386_368, 1_427_518_464),
        ("scaling-800m-qkv", 829_269_248, 1_368_200_192),
        ("terraformer-800m", 858_034_432, 158_512_128),
    ];
    let held = |shipped: &Shipped, weights| {
        let options = Options { random_weights: Some(0), weights: Some(weights), ..Options::default() };
        shipped.outline(&options).expect("sizes")
    };
    for (name, parameters, step) in sizes {
        let shipped = Shipped::find(name).expect(name);
        let (exact, small) = (held(&shipped, Precision::F32), held(&shipped, Precision::Int8));
        assert_eq!((exact.parameters, exact.bytes, exact.model.step_bytes()), (parameters, 4 * parameters, step), "{name}");
        // positions stay f32
        let size = |key: &str| exact.config[key].as_u64().expect("a size") as usize;
        let most = parameters + parameters / 8 + 3 * 2 * size("max_len") * size("d_model");
        assert!(small.bytes > parameters && small.bytes < most, "{name}: {}", small.bytes);
    }
}
