//! `effattn convert`: checkpoints that trax itself wrote (`fixtures/convert`) come out as they should, whatever else is tried comes out as one error.

use effattn::convert::{self, Request, numbers::Kind};
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CASES: [&str; 15] = [
    "lm-conv",
    "lm-favor",
    "lm-lowrank",
    "lm-lsh",
    "lm-modular",
    "lm-mult",
    "lm-mult_modular",
    "lm-sparse",
    "pair",
    "pair-queries",
    "reformer-lm",
    "terraformer-reversible",
    "terraformer-sparse",
    "transformer",
    "transformer-lm",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/convert").join(name)
}

fn pickle(name: &str) -> PathBuf {
    let packed = fixture(name).join("model.pkl.gz");
    if packed.exists() { packed } else { fixture(name).join("model.pkl") }
}

/// Name to kind, shape and bytes.
type Tensors = BTreeMap<String, (String, Vec<usize>, Vec<u8>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
    file.tensors().into_iter().map(|(n, v)| (n, (format!("{:?}", v.dtype()), v.shape().to_vec(), v.data().to_vec()))).collect()
}

fn expected(name: &str) -> Tensors {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(fixture(name).join("expected.safetensors.gz")).expect("the fixture");
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
    tensors(&bytes)
}

fn effattn(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir).output().expect("the binary runs")
}

/// Converts into `dir/out` and returns what came out.
fn converted(name: &str, dir: &Path, more: &[&str]) -> (Tensors, Output) {
    let (checkpoint, config) = (pickle(name), fixture(name).join("config.gin"));
    let words =
        ["convert", "--from", "trax", checkpoint.to_str().expect("UTF-8"), "--config", config.to_str().expect("UTF-8"), "-o", "out"];
    let got = effattn(dir, &[&words[..], more].concat());
    assert_eq!(got.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&got.stderr));
    (tensors(&std::fs::read(dir.join("out/model.safetensors")).expect("weights")), got)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).expect("JSON")
}

#[test]
fn all_cases_come_out_as_they_should() {
    for name in CASES {
        let dir = tempfile::tempdir().expect("a directory");
        let (got, output) = converted(name, dir.path(), &[]);
        let expected = expected(name);
        assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, wanted) in &expected {
            assert!(
                got[tensor] == *wanted,
                "{name}: `{tensor}` is {:?} {:?}, not {:?} {:?}, or has other bytes",
                got[tensor].0,
                got[tensor].1,
                wanted.0,
                wanted.1
            );
        }
        assert_eq!(json(dir.path().join("out/config.json")), json(fixture(name).join("expected.json")), "{name}");
        let special = serde_json::json!({"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0});
        assert_eq!(json(dir.path().join("out/generation_config.json")), special, "{name}");
        assert_eq!((output.stdout.as_slice(), std::fs::read_dir(dir.path()).expect("listed").count()), (&b"out\n"[..], 1), "{name}");
        let listed = std::fs::read_dir(dir.path().join("out")).expect("listed").count();
        assert_eq!(listed, 3, "{name}: something else is left in the directory");
    }
    let there =
        std::fs::read_dir(fixture("")).expect("listed").filter(|e| e.as_ref().is_ok_and(|e| e.path().join("config.gin").exists())).count();
    assert_eq!(there, CASES.len(), "a case is not tested");
}

#[test]
fn says_what_it_did_and_what_it_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tensors, output) = converted("pair", dir.path(), &[]);
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    let numbers = tensors.values().map(|t| t.1.iter().product::<usize>()).sum::<usize>();
    assert!(told.contains(&format!("{} parameters in {} tensors, f32", effattn::report::grouped(numbers), tensors.len())), "{told}");
    for part in ["ConfigurableTransformer.dropout", "ConfigurableTransformer.ff_chunk_size", "of other functions: 5 bindings"] {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (_, output) = converted("pair", dir.path(), &["-q"]);
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b""[..]));
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect()
}

#[test]
fn rows_turn_the_first_matrix_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let (got, _) = converted("lm-sparse", dir.path(), &["--rows"]);
    let straight = expected("lm-sparse");
    let mut turned = 0;
    for (name, tensor) in &straight {
        if !name.ends_with(".ff.w1") {
            assert!(got[name] == *tensor, "{name}");
            continue;
        }
        turned += 1;
        assert!(!got.contains_key(name));
        let (_, shape, bytes) = &got[&format!("{name}_rows")];
        let [d, blocks, n] = tensor.1[..] else { panic!("three sides") };
        assert_eq!(*shape, [blocks, n, d]);
        let (from, to) = (floats(&tensor.2), floats(bytes));
        for i in 0..d {
            for x in 0..blocks {
                for y in 0..n {
                    assert_eq!(to[(x * n + y) * d + i], from[(i * blocks + x) * n + y]);
                }
            }
        }
    }
    assert_eq!((turned, got.len()), (2, straight.len()));
}

#[test]
fn kinds_can_be_chosen() {
    let bits = |bytes: &[u8]| floats(bytes).iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let dir = tempfile::tempdir().expect("a directory");
    let (got, _) = converted("lm-sparse", dir.path(), &["--dtype", "bf16"]);
    for (name, (_, shape, bytes)) in expected("lm-sparse") {
        // to the nearest, ties to even
        let rounded = bits(&bytes).iter().map(|b| ((b + 0x7FFF + ((b >> 16) & 1)) >> 16) as u16).collect::<Vec<u16>>();
        let stored = got[&name].2.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect::<Vec<u16>>();
        assert_eq!((got[&name].0.as_str(), &got[&name].1, stored), ("BF16", &shape, rounded), "{name}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (got, _) = converted("terraformer-sparse", dir.path(), &["--dtype", "f32"]);
    let mixed = expected("terraformer-sparse");
    assert!(mixed.values().any(|t| t.0 == "BF16") && mixed.values().any(|t| t.0 == "F32"));
    for (name, (kind, shape, bytes)) in mixed {
        let wide = if kind == "F32" { bytes } else { bytes.chunks_exact(2).flat_map(|b| [0, 0, b[0], b[1]]).collect() };
        assert_eq!(got[&name], ("F32".to_owned(), shape, wide), "{name}");
    }
}

/// What a failed conversion says; nothing may be left behind.
fn fails(checkpoint: &Path, gin: &str, code: i32, told: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("c.gin"), gin).expect("written");
    let got = effattn(dir.path(), &["convert", "--from", "trax", checkpoint.to_str().expect("UTF-8"), "--config", "c.gin", "-o", "out"]);
    let stderr = String::from_utf8_lossy(&got.stderr).into_owned();
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(code), &b""[..]), "{stderr}");
    for part in told {
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }
    assert_eq!((stderr.matches("error: ").count(), stderr.contains("panicked")), (1, false), "{stderr}");
    let left = std::fs::read_dir(dir.path()).expect("listed").map(|e| e.expect("readable").file_name()).collect::<Vec<_>>();
    assert_eq!(left, ["c.gin"], "something is left behind");
}

fn gin(name: &str) -> String {
    std::fs::read_to_string(fixture(name).join("config.gin")).expect("the fixture")
}

#[test]
fn configurations_that_cannot_be_converted_say_where_and_why() {
    let checkpoint = pickle("lm-sparse");
    let text = gin("lm-sparse");
    let with = |line: &str| format!("{text}{line}\n");
    let last = text.lines().count() + 1;
    let at = format!("c.gin:{last}: ");
    let cases: &[(&str, &[&str])] = &[
        ("ConfigurableTransformerLM.d_modl = 8", &["has no parameter `d_modl`", "did you mean `d_model`?"]),
        (
            "ConfigurableTransformrLM.d_model = 8",
            &["`ConfigurableTransformrLM` is no function", "did you mean `ConfigurableTransformerLM`?"],
        ),
        ("MultiplicativeConvCausalAttention.lenght_kernel_size = 8", &["has no parameter", "did you mean `length_kernel_size`?"]),
        ("ConfigurableTransformerLM.quantum = 8", &["has no parameter `quantum`", "changes the model"]),
        ("ConfigurableTransformerLM.pos_type = 'infinite'", &["random numbers"]),
        ("ConfigurableTransformerLM.attention_type = @tl.MixedLSHSelfAttention", &["@MixedLSHSelfAttention, which cannot be converted"]),
        ("ConfigurableTransformerLM.attention_type = [@CausalAttention, @CausalFavor]", &["changes from layer to layer"]),
        ("ConfigurableTransformerLM.ff_activation = @Swish", &["@Swish", "@FastGelu"]),
        ("ConfigurableTransformerLM.d_ff = %nothing", &["there is no macro `%nothing`", "config.gin"]),
        ("ConfigurableTransformerLM.d_ff = -8", &["is -8, not a size"]),
        ("ConfigurableTransformerLM.d_ff = 99999999999999999999", &["is 100000000000000000000, not a size"]),
        ("ConfigurableTransformerLM.n_heads = 3", &["`ConfigurableTransformerLM.n_heads` is 3, which does not divide d_model = 8"]),
        ("ConfigurableTransformerLM.ff_sparsity = 3", &["is 3, which does not divide d_ff = 8"]),
        ("ConfigurableTransformerLM.loss_sparsity_type = 'local'", &["'local', which is not supported", "'lowrank'"]),
        ("LayerNorm.epsilon = 1e-5", &["`LayerNorm.epsilon` is 0.00001, which changes the model"]),
        ("PositionalEncoding.d_feature = 64", &["`PositionalEncoding.d_feature` is 64, which changes the model"]),
        ("train.model = @trax.models.BERT", &["@BERT, which cannot be converted", "ReformerLM"]),
        ("include 'other.gin'", &["`include` is not followed", "config.gin"]),
        ("d_model", &["`=` is missing"]),
        ("d_model = [1, 2", &["`,` or `]` is missing"]),
        ("d_model = 'abc", &["without its closing quote"]),
        ("d_model = 1 2", &["`2` after the value"]),
        ("d_model = @f(3)", &["takes no arguments"]),
        ("d_model = abc", &["`abc` is no value"]),
        ("/a.b = 1", &["a name is expected"]),
        (".b = 1", &["a name is expected"]),
        ("d_model = 0x10", &["`0x10` is no number"]),
    ];
    for (line, told) in cases {
        let lost = ["n_heads", "d_model = [", "d_ff = 9"].iter().any(|l| line.contains(l)) && !line.contains("n_heads");
        let place = if lost { "c.gin:" } else { at.as_str() };
        fails(&checkpoint, &with(line), 1, &[&[place], *told].concat());
    }
    fails(&checkpoint, &with("x = %y\ny = %x\nConfigurableTransformerLM.d_ff = %x"), 1, &["stands for itself"]);
    fails(&checkpoint, "TransformerLM.d_model = 8\nReformerLM.d_model = 8\n", 1, &["several models", "train.model = @NAME"]);
    fails(&checkpoint, "# nothing\n", 1, &["no model is configured", "known are"]);
    fails(&checkpoint, "ReformerLM.d_model = 8\n", 1, &["`ReformerLM.vocab_size` is not bound", "config.gin"]);
    fails(&checkpoint, &with(&format!("x = {}1{}", "[".repeat(60), "]".repeat(60))), 1, &["more than 50 brackets"]);
    let terraformer = format!("{}ConfigurableTerraformer.n_layers_forget = 2\n", gin("terraformer-sparse"));
    fails(&pickle("terraformer-sparse"), &terraformer, 1, &["`ConfigurableTerraformer.n_layers_forget` is 2", "only 0"]);
}

#[test]
fn checkpoints_of_another_model_name_the_first_weight_that_is_wrong() {
    let text = gin("lm-sparse");
    let checkpoint = pickle("lm-sparse");
    let told = &["leaf `0` has shape [6, 8], and `embed.weight` should come, with [7, 8]", "hint: "];
    fails(&checkpoint, &text.replace("vocab_size = 6", "vocab_size = 7").replace("loss_sparsity = 2", "loss_sparsity = 7"), 1, told);
    fails(
        &checkpoint,
        &text.replace("ff_use_sru = (2, 4)", "ff_use_sru = (3, 4)"),
        1,
        &["has shape [4, 8], and `decoder.0.sru.2.w` should come, with [4, 12]"],
    );
    let fewer = text.replace("n_layers = 2", "n_layers = 1");
    fails(&checkpoint, &fewer, 1, &["has shape [4, 8], and `loss.gating` should come, with [2, 8]"]);
    let more = text.replace("loss_sparsity_prob = 0.5", "loss_sparsity_prob = None");
    fails(&checkpoint, &more, 1, &["it has 2 more weights than the", "with shape [8, 6]"]);
    let text = gin("transformer-lm");
    fails(
        &pickle("transformer-lm"),
        &text
            .replace("TransformerLM", "ConfigurableTransformerLM")
            .replace("= 6", "= 6\nConfigurableTransformerLM.loss_sparsity_prob = 0.5"),
        1,
        &["it ends after 22 weights of 24", "a dense layer beside the sparse loss"],
    );
    // the weights' own file
    let dir = tempfile::tempdir().expect("a directory");
    let alone = dir.path().join("model.pkl.gz");
    std::fs::copy(pickle("pair"), &alone).expect("copied");
    fails(&alone, &gin("pair"), 1, &["`model.weights.npy.gz` is not beside it", "copy all"]);
    let weights = std::fs::read(fixture("pair/model.weights.npy.gz")).expect("the fixture");
    std::fs::write(dir.path().join("model.weights.npy.gz"), &weights[..weights.len() / 2]).expect("written");
    fails(&alone, &gin("pair"), 1, &["the file ends in the middle"]);
}

#[test]
fn directories_are_complete_or_as_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("made");
    converted("lm-mult", dir.path(), &[]);
    let (checkpoint, config) = (pickle("lm-mult"), fixture("lm-mult").join("config.gin"));
    let words = ["convert", "--from", "trax", checkpoint.to_str().expect("UTF-8"), "--config", config.to_str().expect("UTF-8"), "-o"];
    let again = effattn(dir.path(), &[&words[..], &["out"]].concat());
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("`out` is not empty"));
    std::fs::write(out.join("tokenizer.json"), "kept").expect("written");
    std::fs::write(out.join("config.json"), "replaced").expect("written");
    assert_eq!(effattn(dir.path(), &[&words[..], &["out", "--force"]].concat()).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(out.join("tokenizer.json")).expect("kept"), "kept");
    assert_eq!(json(out.join("config.json")), json(fixture("lm-mult").join("expected.json")));
    for (target, told) in [("none/out", "there is no directory `none`"), ("out/config.json", "is a file")] {
        let got = effattn(dir.path(), &[&words[..], &[target]].concat());
        assert!(
            got.status.code() == Some(1) && String::from_utf8_lossy(&got.stderr).contains(told),
            "{}",
            String::from_utf8_lossy(&got.stderr)
        );
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |p: &Path| std::fs::metadata(p).expect("there").permissions().mode();
        let usual = dir.path().join("usual");
        std::fs::create_dir(&usual).expect("made");
        effattn(dir.path(), &[&words[..], &["new"]].concat());
        assert_eq!(mode(&dir.path().join("new")), mode(&usual), "the directory has the permissions of a private one");
    }
}

#[test]
fn the_command_line_says_what_goes_together() {
    let dir = tempfile::tempdir().expect("a directory");
    for (words, told) in [
        (&["--from", "trax", "--config", "c"][..], "needs a checkpoint"),
        (&["--from", "random", "m.pkl", "--config", "c"], "takes no checkpoint"),
        (&["--from", "trax", "m.pkl", "--config", "c", "--seed", "1"], "`--seed` is for"),
        (&["--from", "torch", "--config", "c"], "invalid value 'torch'"),
    ] {
        let got = effattn(dir.path(), &[&["convert", "-o", "out"], words].concat());
        assert!(
            got.status.code() == Some(2) && String::from_utf8_lossy(&got.stderr).contains(told),
            "{}",
            String::from_utf8_lossy(&got.stderr)
        );
    }
}

/// A watcher that has enough leaves nothing behind.
#[test]
fn an_interruption_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let model = convert::model(&fixture("lm-mult").join("config.gin")).expect("a model");
    let request =
        Request { checkpoint: &pickle("lm-mult"), target: &dir.path().join("out"), kind: Some(Kind::F32), rows: false, force: false };
    let done = convert::convert(&model, &request, &mut |written, all| written < all / 2).expect("no error");
    assert_eq!((done, std::fs::read_dir(dir.path()).expect("listed").count()), (None, 0));
}
