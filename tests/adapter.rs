//! Adapters: what PEFT merges and saves whole, and what `--adapter` makes of the same files, in every family; and what is refused.

use candle_core::Tensor;
use effattn::arch::{Arch, REGISTRY};
use effattn::checkpoint::{Checkpoint, Options};
use effattn::command::verify::text;
use effattn::kernel::precision::Precision;
use effattn::model::Source;
use effattn::verify::{Finding, verify};
use effattn::weights::Store;
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const ATOL: f64 = 1e-5;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The adapters of `fixtures/`, each with the checkpoint that it was made for.
fn cases() -> Vec<(PathBuf, PathBuf)> {
    let folders = std::fs::read_dir(fixtures()).expect("fixtures exist").map(|d| d.expect("readable").path());
    let mut all: Vec<PathBuf> = folders.filter(|d| d.join("merged.safetensors").exists()).collect();
    all.sort();
    let base = |d: &PathBuf| {
        let config: Value = serde_json::from_slice(&std::fs::read(d.join("adapter_config.json")).expect("a configuration")).expect("JSON");
        fixtures().join(config["base_model_name_or_path"].as_str().expect("a name"))
    };
    all.into_iter().map(|d| (base(&d), d)).collect()
}

fn options(adapter: Option<&Path>, weights: Precision) -> Options {
    Options { weights: Some(weights), quirks: true, adapter: adapter.map(Path::to_owned), ..Options::default() }
}

/// Logits, layers and both searches are those of the model that PEFT merges and transformers loads.
#[test]
fn numbers_of_the_merged_model() {
    let cases = cases();
    assert!(cases.len() >= 9, "{}", cases.len());
    for (base, adapter) in cases {
        let golden = adapter.join("merged.safetensors");
        let open =
            |adapter| Checkpoint::open(&base, &options(adapter, Precision::F32)).unwrap_or_else(|e| panic!("{}: {e}", base.display()));
        let report = verify(&open(Some(&adapter)), &golden, ATOL).expect("it compares");
        // hidden states of pre-norm stacks grow to tens: their bound is relative, as in tests/parity.rs
        let bad = report.checks.iter().any(|c| match &c.finding {
            Finding::Close { max_rel, .. } if c.key.starts_with("hidden.") => !c.passed && (max_rel.is_nan() || *max_rel > ATOL),
            _ => !c.passed,
        });
        assert!(!bad && report.checks.len() >= 6, "{}\n{}", adapter.display(), text(&report, ATOL));
        // without it, they are not
        let plain = verify(&open(None), &golden, ATOL).expect("it compares");
        assert!(plain.max_abs(&["logits"]).expect("logits") > 0.1, "{}", adapter.display());
    }
}

/// A checkpoint of made-up weights for an architecture's tiny configuration.
fn made_up(arch: &Arch, dir: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let config: Value = serde_json::from_str(arch.tiny).expect("a tiny configuration is JSON");
    let store = Arc::new(Store::random(7));
    (arch.load)(&config, &store.root()).expect("a tiny model loads");
    let numbers = |name: &str, shape: &[usize]| Arc::new(Store::random(7)).root().numbers(name, shape).expect("numbers");
    let tensors = store.asked_for().into_iter().map(|a| (a.name.clone(), (a.shape.clone(), numbers(&a.name, &a.shape)))).collect();
    write(&dir.join("model.safetensors"), &tensors);
    std::fs::write(dir.join("config.json"), arch.tiny).expect("written");
    tensors
}

fn write(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    let bytes: Vec<Vec<u8>> = tensors.values().map(|(_, x)| x.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((n, (s, _)), b)| (n.as_str(), TensorView::new(Dtype::F32, s.clone(), b).expect("a view")));
    std::fs::write(path, serialize(views.collect::<Vec<_>>(), None).expect("it serialises")).expect("written");
}

/// What a model says of a short text.
fn logits(c: &Checkpoint) -> Vec<f32> {
    let info = c.model.info();
    // some read texts of one length only
    let n = info.max_source.filter(|_| info.reads_only.is_some()).unwrap_or(8);
    let (rows, target) = (vec![(0..n as u32).map(|i| 3 + i * 5 % 9).collect()], vec![vec![3, 6, 5, 4]]);
    let flat = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("numbers");
    if info.reads_only.is_some() {
        return flat(&c.model.fill(&Source::new(rows)).expect("it reads")[0]);
    }
    let (mut state, _) = c.model.encode(&Source::new(rows)).expect("it reads");
    flat(&c.model.score(&target, &mut state).expect("it scores"))
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |most, x| if x.is_nan() { f32::INFINITY } else { most.max(x) })
}

/// Some number of a tensor that nobody has drawn.
fn noise(name: &str, i: usize) -> f32 {
    let mixed = (name.len() * 7919 + i * 104_729 + name.bytes().map(usize::from).sum::<usize>() * 31) % 1009;
    mixed as f32 / 1009.0 - 0.5
}

/// W + s B A of every matrix, rounded here step by step as PEFT rounds and there while it is loaded, is one model to the last bit; where layers lie
/// (in, out), so does the sum.
#[test]
fn every_family_computes_with_merged_matrices() {
    for arch in REGISTRY {
        let dir = tempfile::tempdir().expect("a directory");
        let mut tensors = made_up(arch, dir.path());
        let lora = dir.path().join("lora");
        std::fs::create_dir(&lora).expect("a directory");
        let mut parts = BTreeMap::new();
        let (rank, alpha) = (3, 1.5);
        let mut merged = 0;
        for (name, (shape, w)) in &mut tensors {
            let Some(module) = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".w")).filter(|_| shape.len() == 2) else {
                continue;
            };
            if ["shared", "embed_tokens", "lm_head", "wte"].iter().any(|t| module.ends_with(t)) {
                continue;
            }
            let conv = arch.model_type == "gpt2" && ["c_attn", "c_proj", "c_fc"].iter().any(|c| module.ends_with(c));
            let across = name.ends_with(".w") || conv;
            let (outputs, inputs) = if across { (shape[1], shape[0]) } else { (shape[0], shape[1]) };
            let a: Vec<f32> = (0..rank * inputs).map(|i| noise(name, i)).collect();
            let b: Vec<f32> = (0..outputs * rank).map(|i| noise(module, i)).collect();
            for o in 0..outputs {
                for i in 0..inputs {
                    let sum = (0..rank).fold(0.0f32, |sum, k| b[o * rank + k].mul_add(a[k * inputs + i], sum));
                    w[if across { i * outputs + o } else { o * inputs + i }] += (alpha / rank as f64) as f32 * sum;
                }
            }
            parts.insert(format!("base_model.model.{module}.lora_A.weight"), (vec![rank, inputs], a));
            parts.insert(format!("base_model.model.{module}.lora_B.weight"), (vec![outputs, rank], b));
            merged += 1;
        }
        if merged == 0 {
            panic!("{}: no matrix", arch.model_type);
        }
        write(&lora.join("adapter_model.safetensors"), &parts);
        let config = json!({"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": "all-linear"});
        std::fs::write(lora.join("adapter_config.json"), config.to_string()).expect("written");
        for weights in [Precision::F32, Precision::Int8] {
            let open = |adapter: Option<&Path>| {
                Checkpoint::open(dir.path(), &options(adapter, weights)).unwrap_or_else(|e| panic!("{}: {e}", arch.model_type))
            };
            let (plain, adapted) = (logits(&open(None)), logits(&open(Some(&lora))));
            let saved = dir.path().join("model.safetensors");
            let before = std::fs::read(&saved).expect("weights");
            write(&saved, &tensors);
            let whole = logits(&open(None));
            std::fs::write(&saved, before).expect("written");
            assert!(adapted == whole, "{} {weights:?}: {}", arch.model_type, largest(&adapted, &whole));
            assert!(largest(&plain, &whole) > 1e-3, "{} {weights:?}: {}", arch.model_type, largest(&plain, &whole));
        }
    }
}

fn effattn(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(fixtures()).output().expect("the binary runs")
}

/// Exactly `stderr`, nothing on standard output, and the exit code.
fn refuses(words: &[&str], code: i32, stderr: &str) {
    let got = effattn(words);
    assert_eq!(String::from_utf8_lossy(&got.stderr), stderr, "{words:?}");
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(code), &b""[..]), "{words:?}");
}

const BART: [&str; 4] = ["-m", "bart-plain", "--adapter", "adapter-bart"];

#[test]
fn verify_and_inspect_know_of_it() {
    let golden = ["--golden", "adapter-bart/merged.safetensors", "--atol", "1e-5"];
    let got = effattn(&[&["verify"], &BART[..], &golden].concat());
    assert_eq!(got.status.code(), Some(0), "{}", String::from_utf8_lossy(&got.stdout));
    assert_eq!(effattn(&[&["verify"], &BART[..2], &golden].concat()).status.code(), Some(4));
    let got = effattn(&[&["inspect"], &BART[..]].concat());
    let text = String::from_utf8_lossy(&got.stdout).into_owned();
    assert!(text.contains("  adapter          adapter-bart (r=4, alpha=6, 16 modules, 16 whole tensors, "), "{text}");
    let facts = |words: &[&str]| -> Value { serde_json::from_slice(&effattn(words).stdout).expect("JSON") };
    let told = facts(&[&["inspect", "-f", "json"], &BART[..]].concat());
    let stored = std::fs::read(fixtures().join("adapter-bart/adapter_model.safetensors")).expect("the adapter");
    let numbers: usize =
        SafeTensors::deserialize(&stored).expect("tensors").tensors().iter().map(|(_, t)| t.shape().iter().product::<usize>()).sum();
    let adapter = &told["adapter"];
    assert_eq!((&adapter["name"], &adapter["r"], &adapter["alpha"]), (&json!("adapter-bart"), &json!(4), &json!(6.0)));
    assert_eq!((&adapter["modules"], &adapter["whole_tensors"], &adapter["parameters"]), (&json!(16), &json!(16), &json!(numbers)));
    let plain = facts(&["inspect", "-f", "json", "-m", "bart-plain"]);
    assert_eq!((&plain["adapter"], &plain["parameters"]), (&Value::Null, &told["parameters"]));
    // a table that is tied changes wherever it is used, and the user is told
    let tied = effattn(&["inspect", "-m", "gpt2-plain", "--adapter", "adapter-gpt2"]);
    let tied = String::from_utf8_lossy(&tied.stdout).into_owned();
    assert!(tied.contains("the adapter changes `transformer.wte.weight`, which is table and output matrix"), "{tied}");
}

#[test]
fn decode_says_so_and_goes_on_only_with_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(at("a.jsonl"), "{\"text\": \"5 6 7 8\"}\n").expect("written");
    let (input, output) = (at("a.jsonl"), at("o.jsonl"));
    let decode = |more: &[&str]| {
        let words = ["decode", "-m", "bart-plain", "--ids", "--max-new-tokens", "4", &input, "-o", &output, "-f", "jsonl"];
        let got = effattn(&[&words, more].concat());
        (got.status.code(), String::from_utf8_lossy(&got.stderr).into_owned())
    };
    let (code, said) = decode(&["--adapter", "adapter-bart"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\nadapter: adapter-bart (r=4, alpha=6, 16 modules, 16 whole tensors)\n"), "{said}");
    // an interrupted run of the same settings, but for the adapter
    let settings: Value = serde_json::from_str(&kept(&decode, &output)).expect("JSON");
    let resumed = |adapter: Option<&str>| {
        let mut settings = settings.clone();
        match adapter {
            Some(a) => settings["adapter"] = fixtures().join(a).canonicalize().expect("it exists").to_str().expect("UTF-8").into(),
            None => drop(settings.as_object_mut().expect("one").remove("adapter")),
        }
        std::fs::write(at("o.jsonl.partial"), "").expect("written");
        std::fs::write(at("o.jsonl.partial.settings"), settings.to_string()).expect("written");
        decode(&["--resume", "--adapter", "adapter-bart"])
    };
    let (code, said) = resumed(None);
    assert_eq!((code, said.contains("was written with other settings: `adapter` was not set, now it is `\"")), (Some(1), true), "{said}");
    let (code, said) = resumed(Some("adapter-led"));
    assert_eq!((code, said.contains("was written with other settings: `adapter` was `\"")), (Some(1), true), "{said}");
    let (code, said) = resumed(Some("adapter-bart"));
    assert_eq!(code, Some(0), "{said}");
    // the same place, and since trained on
    std::fs::write(at("o.jsonl.partial"), "").expect("written");
    let mut other = settings.clone();
    other["adapter-fingerprint"] = "0123456789abcdef".into();
    std::fs::write(at("o.jsonl.partial.settings"), other.to_string()).expect("written");
    let (code, said) = decode(&["--resume", "--adapter", "adapter-bart"]);
    assert_eq!(
        (code, said.contains("other settings: `adapter-fingerprint` was `\"0123456789abcdef\"`, now it is `\"")),
        (Some(1), true),
        "{said}"
    );
}

/// A tokenizer of four words.
const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "decoder": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
    "model": {"type": "WordLevel", "vocab": {"a": 5, "b": 6, "c": 7, "?": 8}, "unk_token": "?"}}"#;

/// Both are named, by every command, and nothing fails: names are no proof.
#[test]
fn an_adapter_of_another_base_is_told_and_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    // a base model that can read text
    std::fs::create_dir(at("bart-plain")).expect("made");
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
        std::fs::copy(fixtures().join("bart-plain").join(file), dir.path().join("bart-plain").join(file)).expect("copied");
    }
    std::fs::write(dir.path().join("bart-plain/tokenizer.json"), WORDS).expect("written");
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(fixtures().join("adapter-bart").join(file), at(file)).expect("copied");
    }
    let config = std::fs::read_to_string(at("adapter_config.json")).expect("read").replace("bart-plain", "org/bart-other");
    std::fs::write(at("adapter_config.json"), config).expect("written");
    std::fs::write(at("ids.txt"), "5 6 7").expect("written");
    std::fs::write(at("d.jsonl"), "{\"text\": \"a b\", \"summary\": \"b c\"}\n").expect("written");
    let wanted = "was trained for `org/bart-other` (`base_model_name_or_path` of adapter_config.json), this model is `bart-plain`";
    let (model, own, ids, d) = (at("bart-plain"), at(""), at("ids.txt"), at("d.jsonl"));
    for (words, on_stderr) in [
        (&["inspect", "-m", &model][..], false),
        (&["decode", "--ids", "--max-new-tokens", "2", &ids, "-m", &model], true),
        (&["score", "-m", "ppl", &d, "--ref-column", "summary", "--source", &d, "--model", &model], true),
        (&["bench", "-p", "4", "-n", "2", "-r", "1", "--no-warmup", "-t", "1", "-m", &model], true),
        (&["verify", "--golden", "adapter-bart/merged.safetensors", "-m", &model], true),
    ] {
        for (adapter, told) in [(own.as_str(), 1), ("adapter-bart", 0)] {
            let got = effattn(&[words, &["--adapter", adapter]].concat());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (out, err) = (text(&got.stdout), text(&got.stderr));
            assert_eq!((got.status.code(), (out.clone() + &err).matches(wanted).count()), (Some(0), told), "{words:?} {out}{err}");
            assert!(told == 0 || !on_stderr || err.contains("note: the adapter `"), "{words:?} {err}");
            // a score names what it was made with
            assert!(words[0] != "score" || out.contains("|adapter:"), "{out}");
        }
        if on_stderr {
            let quiet = effattn(&[words, &["--adapter", &own, "-q"]].concat());
            assert_eq!((quiet.status.code(), quiet.stderr.as_slice()), (Some(0), &b""[..]), "{words:?}");
        }
    }
}

/// Runs `decode` with more words: its exit code, and what it said.
type Decode<'a> = dyn Fn(&[&str]) -> (Option<i32>, String) + 'a;

/// The settings of an interrupted run with `adapter-bart`: what it keeps beside its output while it waits.
fn kept(decode: &Decode<'_>, output: &str) -> String {
    let sidecar = format!("{output}.partial.settings");
    std::fs::write(&sidecar, "{}").expect("written");
    std::fs::write(format!("{output}.partial"), "").expect("written");
    // every key differs from none: the refusals name them one after the other
    // but for the model's, whose absence tells an older version of the program
    let mut settings = json!({"config-fingerprint": ""});
    for _ in 0..40 {
        std::fs::write(&sidecar, settings.to_string()).expect("written");
        let (code, said) = decode(&["--resume", "--adapter", "adapter-bart"]);
        let Some((_, rest)) = said.split_once("other settings: `") else {
            assert_eq!(code, Some(0), "{said}");
            return settings.to_string();
        };
        let (key, rest) = rest.split_once('`').expect("a key");
        let value = rest.split_once("now it is `").and_then(|(_, v)| v.split_once("`\nhint")).expect("a value").0;
        settings[key] = serde_json::from_str(value).expect("JSON");
        std::fs::write(format!("{output}.partial"), "").expect("written");
    }
    panic!("no end of settings");
}

#[test]
fn bench_takes_one_for_one_model() {
    let few = ["-p", "4", "-n", "2", "-r", "1", "--no-warmup", "-t", "1"];
    let got = effattn(&[&["bench", "-f", "jsonl"], &BART[..], &few].concat());
    let record: Value = serde_json::from_slice(&got.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&got.stderr)));
    assert_eq!((&record["adapter"], &record["model"], &record["error"]), (&json!("adapter-bart"), &json!("bart-plain"), &Value::Null));
    let two = ["bench", "-m", "bart-plain,gpt2-plain", "--adapter", "adapter-bart"];
    refuses(&two, 2, "error: `--adapter` goes with one model\nhint: name one with `-m`, or bench them one after the other\n");
    assert_eq!(effattn(&["bench", "--suite", "quick", "--adapter", "adapter-bart"]).status.code(), Some(2));
    // it is compared with the checkpoint before anything is timed
    let got = effattn(&[&["bench", "-m", "gpt2-plain", "--adapter", "adapter-bart"], &few[..]].concat());
    assert_eq!(got.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&got.stderr).contains("is no module of the base model"));
}

#[test]
fn what_cannot_be_is_refused() {
    let inspect = |more: &[&'static str]| -> Vec<&'static str> { [&["inspect", "-m", "bart-plain"], more].concat() };
    let layout = "hint: `--adapter` takes a directory with adapter_config.json and adapter_model.safetensors, as PEFT saves them\n";
    refuses(&inspect(&["--adapter", "no-such"]), 1, &format!("error: no-such: no such directory\n{layout}"));
    let file = "error: adapter-bart/adapter_config.json: a file, not a directory\n";
    refuses(&inspect(&["--adapter", "adapter-bart/adapter_config.json"]), 1, &format!("{file}{layout}"));
    refuses(&inspect(&["--adapter", "bart-plain"]), 1, &format!("error: bart-plain: no adapter_config.json\n{layout}"));
    refuses(
        &inspect(&["--adapter", "adapter-bart", "--random-weights"]),
        2,
        "error: `--adapter` changes the weights that it was trained for, not made-up ones\nhint: leave out `--random-weights`, or write made-up weights to a checkpoint with `effattn convert --from random`\n",
    );
    refuses(
        &inspect(&["--adapter", "adapter-gpt2-dora"]),
        1,
        "error: adapter-gpt2-dora/adapter_model.safetensors: `lm_head`: `lora_A` of 35 columns and `lora_B` of 101 rows do not fit the base model's tensor of shape [97, 28]\nhint: the adapter was trained for another base model\n",
    );
    refuses(
        &["inspect", "-m", "gpt2-relu-inner", "--adapter", "adapter-gpt2-tokens"],
        1,
        "error: adapter-gpt2-tokens/adapter_model.safetensors: `transformer.h.0.attn.c_attn`: `lora_A` of 36 columns and `lora_B` of 108 rows do not fit the base model's tensor of shape [28, 84]\nhint: the adapter was trained for another base model\n",
    );
    refuses(
        &["verify", "-m", "trax-layer-favor", "--adapter", "adapter-bart", "--golden", "trax-layer-favor/expected.safetensors"],
        2,
        "error: `--adapter` goes with a model, this directory holds a layer alone\nhint: leave it out\n",
    );
}
