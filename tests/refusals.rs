//! What the program refuses rather than guess: settings that have no effect, keys that are no token ids, marks that would be lost.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn effattn(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).args(["-t", "1"]).output().expect("the binary runs")
}

/// Exit code and the first line of what was said.
fn said(words: &[&str]) -> (Option<i32>, String) {
    let got = effattn(words);
    let text = String::from_utf8(got.stderr).expect("UTF-8");
    let line = text.lines().find(|l| l.starts_with("error")).unwrap_or_default();
    (got.status.code(), line.to_owned())
}

/// A copy of a fixture with other keys in its config.json and a tokenizer of bytes, if its vocabulary has room.
fn copy(case: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(case);
    for file in ["config.json", "model.safetensors", "expected.safetensors"] {
        std::fs::copy(from.join(file), dir.path().join(file)).expect("the fixture is whole");
    }
    let mut config: Value = serde_json::from_slice(&std::fs::read(from.join("config.json")).expect("it is there")).expect("JSON");
    change(&mut config);
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    let words: serde_json::Map<String, Value> =
        (0..20u32).map(|i| (if i == 0 { "<unk>".into() } else { format!("w{i}") }, json!(i))).collect();
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null, "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}});
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).expect("written");
    std::fs::write(dir.path().join("text.txt"), "w3 w4 w5 w6 w7 w8").expect("written");
    dir
}

fn path(dir: &tempfile::TempDir, name: &str) -> String {
    let path: PathBuf = dir.path().join(name);
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn memories_of_segments_are_begun_only_where_there_are_some() {
    let with = |case: &str| {
        let dir = copy(case, |_| ());
        said(&["score", "-m", "ppl", "--model", &path(&dir, ""), &path(&dir, "text.txt"), "--bos", "none", "--init-mem", "zeros"])
    };
    assert_eq!(with("lm-transformer-xl-same-length").0, Some(0));
    let (code, line) = with("lm-performer-softmax");
    assert_eq!((code, line.contains("`init_mem` is for variants with memories of segments")), (Some(1), true), "{line}");
    let (code, line) = with("performer-relu");
    assert_eq!((code, line.contains("`--init-mem` is for models with memories of segments")), (Some(2), true), "{line}");
}

#[test]
fn a_begin_token_that_is_none_is_an_error() {
    for wrong in [json!("x"), json!(-1), json!(1.5), json!([]), json!([0, 1]), json!(true), json!(4_294_967_296u64)] {
        let dir = copy("lm-softmax-none-learned", |c| c["bos_token_id"] = wrong.clone());
        let (code, line) = said(&["score", "-m", "ppl", "--model", &path(&dir, ""), &path(&dir, "text.txt")]);
        assert_eq!((code, line.contains("`bos_token_id` must be a token id")), (Some(1), true), "{wrong}: {line}");
    }
}

#[test]
fn a_tolerance_that_is_no_number_is_a_mistake() {
    let dir = copy("lm-performer-softmax", |_| ());
    let golden = path(&dir, "expected.safetensors");
    assert_eq!(said(&["verify", "-m", &path(&dir, ""), "--golden", &golden, "--atol", "nan"]).0, Some(2));
    assert_eq!(effattn(&["verify", "-m", &path(&dir, ""), "--golden", &golden]).status.code(), Some(0));
    let layer = copy("trax-layer-favor", |_| ());
    let verify = |more: &[&str]| {
        let (model, golden) = (path(&layer, ""), path(&layer, "expected.safetensors"));
        let out = effattn(&[&["verify", "-m", &model, "--golden", &golden, "--rounding"], more].concat());
        (out.status.code(), String::from_utf8_lossy(&out.stdout).contains("a layer alone"))
    };
    assert_eq!((verify(&[]), verify(&["--atol", "0"])), ((Some(0), false), (Some(4), true)));
}

#[test]
fn a_special_token_is_no_letter_of_a_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = path(&dir, "t.json");
    let train = |special: &str| said(&["tokenizer", "train", "--level", "bytes", "--special", special, "-o", &target]);
    let (code, line) = train("a");
    assert_eq!((code, line.contains("special token `a` is the letter of a byte")), (Some(2), true), "{line}");
    assert_eq!(train("<a>").0, Some(0));
}

/// What `--mended` compares is the mathematics that the reference meant: another number where its maximum looked ahead.
#[test]
fn quirks_are_on_for_verify_and_off_when_mended() {
    let dir = copy("performer-softmax", |_| ());
    let (model, golden) = (path(&dir, ""), path(&dir, "expected.safetensors"));
    assert_eq!(effattn(&["verify", "-m", &model, "--golden", &golden]).status.code(), Some(0));
    assert_eq!(effattn(&["verify", "-m", &model, "--golden", &golden, "--mended"]).status.code(), Some(4));
    assert_eq!(said(&["verify", "-m", &model, "--golden", &golden, "--mended", "--reference-quirks"]).0, Some(2));
}

/// Without `--rounding` the tolerance is absolute; with it rounding passes, sequences and a changed model do not.
#[test]
fn rounding_is_weighed_where_asked_for_and_hides_no_mistake() {
    let run = |epsilon: f64, more: &[&str]| {
        let dir = copy("t5-plain", |config| config["layer_norm_epsilon"] = json!(epsilon));
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/t5-plain/generation_config.json");
        std::fs::copy(from, dir.path().join("generation_config.json")).expect("the fixture is whole");
        let (model, golden) = (path(&dir, ""), path(&dir, "expected.safetensors"));
        effattn(&[&["verify", "-m", &model, "--golden", &golden][..], more].concat())
    };
    let verify = |epsilon, more: &[&str]| run(epsilon, more).status.code();
    let hints = |more: &[&str]| String::from_utf8_lossy(&run(1e-6, more).stdout).contains("`--rounding` weighs");
    assert_eq!(verify(1e-6, &[]), Some(0));
    assert_eq!([&["--atol", "1e-9"][..], &["--atol", "1e-9", "--rounding"], &[]].map(hints), [true, false, false]);
    assert_eq!(verify(1e-6, &["--atol", "1e-9"]), Some(4), "no rounding unless asked for");
    assert_eq!(verify(1e-6, &["--atol", "1e-9", "--rounding"]), Some(0));
    assert_eq!(verify(1e-4, &["--atol", "1e-9", "--rounding"]), Some(4), "another epsilon is no rounding");
}

/// What would not fit below a limit on address space is refused, not aborted.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_address_space_counts() {
    let run = |vocabulary: usize| {
        let dir = copy("t5-plain", |config| config["vocab_size"] = json!(vocabulary));
        let words = format!("decode -m {} --random-weights --ids - -t 1 --max-new-tokens 1", path(&dir, ""));
        let line = format!("ulimit -v 400000; echo '5 6 7' | {} {words}", env!("CARGO_BIN_EXE_effattn"));
        let out = std::process::Command::new("sh").args(["-c", &line]).output().expect("a shell");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(run(1 << 10).0, Some(0));
    let (code, said) = run(1 << 23);
    assert!(code == Some(1) && said.contains("are available"), "{code:?} {said}");
}

/// A sequence that ends elsewhere is said to differ, and what else was compared is said too.
#[test]
fn sequences_of_other_lengths_differ() {
    let dir = copy("t5-plain", |_| ());
    let at = dir.path().join("expected.safetensors");
    let bytes = std::fs::read(&at).expect("the fixture is whole");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    let mut tensors = candle_core::safetensors::load(&at, &candle_core::Device::Cpu).expect("tensors");
    for key in ["greedy", "greedy_step_logits"] {
        let long = &tensors[key];
        let cut = long.narrow(1, 0, long.dims()[1] - 3).and_then(|t| t.contiguous()).expect("longer than three");
        tensors.insert(key.to_owned(), cut);
    }
    safetensors::serialize_to_file(&tensors, header.metadata().clone(), &at).expect("written");
    let out = effattn(&["verify", "-m", &path(&dir, ""), "--golden", &path(&dir, "expected.safetensors")]);
    let text = String::from_utf8_lossy(&out.stdout);
    let line = |key: &str| text.lines().find(|l| l.trim_start().starts_with(key)).map(str::to_owned);
    assert_eq!(out.status.code(), Some(4), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(line("greedy ").is_some_and(|l| l.contains("FAILED")) && line("logits ").is_some_and(|l| l.contains("ok")), "{text}");
}

/// Sizes that nothing can have are errors that name the key, before memory is asked for.
#[test]
fn sizes_out_of_proportion_are_refused() {
    for case in ["bart-plain", "mbart-plain", "bigbird-sparse", "pegasus-plain", "pegasus-x-plain", "led-windows"] {
        for key in
            ["d_model", "vocab_size", "encoder_ffn_dim", "decoder_ffn_dim", "encoder_layers", "decoder_layers", "max_position_embeddings"]
        {
            for size in [0u64, 1 << 31, 1 << 63] {
                if size == 0 && !key.contains("dim") && key != "d_model" && key != "vocab_size" {
                    continue;
                }
                let dir = copy(case, |config| {
                    if config.get(key).is_some() {
                        config[key] = json!(size);
                    }
                });
                let changed = std::fs::read_to_string(dir.path().join("config.json")).expect("it is there").contains(&size.to_string());
                // sines are worked out for any position: a far limit costs nothing
                if !changed
                    || size == 0 && key == "max_position_embeddings"
                    || case == "pegasus-x-plain" && key == "max_position_embeddings"
                {
                    continue;
                }
                let (code, line) = said(&["inspect", "-m", &path(&dir, ""), "--random-weights"]);
                assert_eq!((code, line.contains("config.json")), (Some(1), true), "{case} {key} {size}: {line}");
            }
        }
    }
}

/// An attention that the weights do not know, or that says nothing, is a mistake of the call; one that they know is another computation.
#[test]
fn an_attention_that_the_family_does_not_have_is_refused() {
    let verify = |case: &str, choice: &str| {
        let dir = copy(case, |_| ());
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(case).join("generation_config.json");
        std::fs::copy(from, dir.path().join("generation_config.json")).expect("the fixture is whole");
        said(&["verify", "-m", &path(&dir, ""), "--golden", &path(&dir, "expected.safetensors"), "--attention", choice])
    };
    for (case, choice, what) in [
        ("led-windows", "block=8", "`led` does not run with `--attention block=8`"),
        ("led-windows", "sparse", "`led` does not run with `--attention sparse`"),
        ("bart-plain", "paper=1", "`bart` does not run with `--attention paper=1`"),
        ("gpt2-plain", "full", "`gpt2` does not run with `--attention full`"),
        ("led-windows", "window=7", "odd"),
        ("led-windows", "window", "needs a number"),
        ("pegasus-x-plain", "window=8", "`pegasus_x` does not run with `--attention window=8`"),
        ("pegasus-x-plain", "block=7", "staggers"),
    ] {
        let (code, line) = verify(case, choice);
        assert_eq!((code, line.contains(what)), (Some(2), true), "{case} {choice}: {line}");
    }
    for (case, choice, code) in
        [("bart-plain", "full", 0), ("bart-plain", "window=2", 4), ("led-windows", "full", 4), ("pegasus-x-plain", "block=2", 4)]
    {
        assert_eq!(verify(case, choice).0, Some(code), "{case} {choice}");
    }
}
