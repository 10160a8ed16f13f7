//! `effattn convert --from pytorch`: what PyTorch itself wrote (`fixtures/convert/torch`) comes out bit by bit, and whatever means harm is one
//! error that leaves nothing behind.

use effattn::convert::torch::{self, Request};
use effattn::error::Result;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/convert/torch").join(name)
}

/// Name to kind, shape and bytes.
type Tensors = BTreeMap<String, (String, Vec<usize>, Vec<u8>)>;

fn tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let misplaced = |(name, view): (String, safetensors::tensor::TensorView)| {
        let width = (view.data().len() / view.shape().iter().product::<usize>().max(1)).max(1);
        assert_eq!((view.data().as_ptr() as usize - bytes.as_ptr() as usize) % width, 0, "{name} lies where its width does not divide");
        (name, (format!("{:?}", view.dtype()), view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(misplaced).collect()
}

fn effattn(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir).output().expect("the binary runs")
}

/// Converts a fixture into `out` of a fresh directory: its tensors and what was said.
fn converted(name: &str, more: &[&str]) -> (tempfile::TempDir, Tensors, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = fixture(name);
    let words = ["convert", "--from", "pytorch", path.to_str().expect("UTF-8"), "-o", "out"];
    let got = effattn(dir.path(), &[&words[..], more].concat());
    let said = String::from_utf8(got.stderr).expect("UTF-8");
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(0), &b"out\n"[..]), "{name}: {said}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1, "{name}: something is left behind");
    let found = tensors(&dir.path().join("out/model.safetensors"));
    (dir, found, said)
}

#[test]
fn all_files_come_out_bit_by_bit() {
    for (name, wanted) in [
        ("kinds.pt", "kinds"),
        ("kinds-legacy.bin", "kinds"),
        ("kinds-protocol-4.pth", "kinds"),
        ("kinds.expected.safetensors", "kinds"),
        ("newer.pt", "newer"),
        ("trained.ckpt", "trained"),
        ("fairseq.pt", "trained"),
        ("fairseq-legacy.pt", "trained"),
        ("sharded", "trained"),
        ("sharded/pytorch_model.bin.index.json", "trained"),
        ("safe", "trained"),
    ] {
        let (_, got, _) = converted(name, &[]);
        let wanted = tensors(&fixture(&format!("{wanted}.expected.safetensors")));
        assert_eq!(got.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, wanted) in &wanted {
            assert!(got[tensor] == *wanted, "{name}: `{tensor}` is {:?}, not {wanted:?}", got[tensor]);
        }
    }
}

#[test]
fn says_what_it_did() {
    let missing = "config.json is missing, without which no command can load it: `--config FILE` puts one there\n";
    let (_, _, said) = converted("trained.ckpt", &[]);
    assert_eq!(
        said,
        format!(
            "21 parameters in 4 tensors, f32, 468 B\n\
             the tensors below `state_dict`\n\
             left out, as no tensors of the model: `epoch`, `best`, `optimizer`, `rng`\n\
             renamed: `module._orig_mod.` taken off all 4 names\n{missing}"
        )
    );
    let (_, _, said) = converted("fairseq.pt", &[]);
    assert_eq!(
        said,
        format!(
            "21 parameters in 4 tensors, f32, 468 B\n\
             the tensors below `model`\n\
             left out, as no tensors of the model: `args`, `cfg`, `optimizer_history`, `extra_state`, `last_optimizer_state`\n{missing}"
        )
    );
    let (dir, _, said) = converted("sharded", &[]);
    assert_eq!(said, "21 parameters in 4 tensors, f32, 468 B\ncopied along: config.json, generation_config.json, tokenizer.json\n");
    for name in ["config.json", "generation_config.json", "tokenizer.json"] {
        let read = |path: PathBuf| std::fs::read(path).expect("a file");
        assert_eq!(read(dir.path().join("out").join(name)), read(fixture("sharded").join(name)), "{name}");
    }
    // a tokenizer that is no JSON
    let source = tempfile::tempdir().expect("a directory");
    for file in std::fs::read_dir(fixture("sharded")).expect("listed").map(|f| f.expect("a file").path()) {
        std::fs::copy(&file, source.path().join(file.file_name().expect("a name"))).expect("copied");
    }
    std::fs::write(source.path().join("spiece.model"), b"\n\x0e\n\x05<unk>").expect("written");
    std::fs::write(source.path().join("tokenizer_config.json"), "{\"tokenizer_class\": \"T5Tokenizer\"}").expect("written");
    let (dir, _, said) = converted(source.path().to_str().expect("UTF-8"), &[]);
    assert!(
        said.ends_with("copied along: config.json, generation_config.json, tokenizer.json, tokenizer_config.json, spiece.model\n"),
        "{said}"
    );
    assert_eq!(std::fs::read(dir.path().join("out/spiece.model")).expect("a file"), b"\n\x0e\n\x05<unk>");
    let (_, _, said) = converted("kinds.pt", &[]);
    assert!(said.contains("one storage, written once for each name: `f32` = `tied` = `transposed` = `columns`; "), "{said}");
    let (_, _, said) = converted("kinds.pt", &["-q"]);
    assert_eq!(said, "");
}

#[test]
fn numbers_with_a_point_become_what_is_asked() {
    let wanted = tensors(&fixture("kinds.expected.safetensors"));
    let (_, wide, _) = converted("kinds.pt", &["--dtype", "f32"]);
    let (_, half, _) = converted("kinds.pt", &["--dtype", "bf16"]);
    let floats = |bytes: &[u8]| -> Vec<f32> { bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect() };
    for (name, (kind, shape, bytes)) in &wanted {
        if !["F64", "F32", "F16", "BF16"].contains(&kind.as_str()) {
            assert!(wide[name] == wanted[name] && half[name] == wanted[name], "{name}");
            continue;
        }
        let values: Vec<f32> = match kind.as_str() {
            "F64" => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight")) as f32).collect(),
            "F32" => floats(bytes),
            "F16" => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            _ => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        };
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!((wide[name].0.as_str(), &wide[name].1, bits(&floats(&wide[name].2))), ("F32", shape, bits(&values)), "{name}");
        let rounded: Vec<u8> = values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!(half[name], ("BF16".to_owned(), shape.clone(), rounded), "{name}");
    }
}

/// The one error of a run that leaves nothing behind.
fn refuses(words: &[&str], code: i32, stderr: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let got = effattn(dir.path(), &[&["convert", "-o", "out"], words].concat());
    assert_eq!((String::from_utf8_lossy(&got.stderr).as_ref(), got.status.code()), (stderr, Some(code)), "{words:?}");
    assert_eq!((got.stdout.len(), std::fs::read_dir(dir.path()).expect("listed").count()), (0, 0), "{words:?}");
}

#[test]
fn the_command_line_says_what_goes_together() {
    for (words, stderr) in [
        (
            &["--from", "pytorch"][..],
            "error: `--from pytorch` needs a checkpoint\nhint: name a file that `torch.save` wrote, or its directory\n",
        ),
        (&["--from", "pytorch", "m.bin", "--seed", "1"], "error: `--seed` is for `--from random`\nhint: leave it out\n"),
        (&["--from", "pytorch", "m.bin", "--rows"], "error: `--rows` is for `--from trax` and `--from random`\nhint: leave it out\n"),
        (
            &["--from", "trax", "m.pkl"],
            "error: `--from trax` needs `--config`\nhint: it takes the gin file, best the `config.gin` beside the checkpoint\n",
        ),
        (&["--from", "random"], "error: `--from random` needs `--config`\nhint: it takes config.json or its directory\n"),
    ] {
        refuses(words, 2, stderr);
    }
    refuses(
        &["--from", "pytorch", "none.bin"],
        1,
        "error: none.bin: no such file or directory\nhint: name a file that `torch.save` wrote, or its directory\n",
    );
}

#[test]
fn names_are_refused_and_nothing_is_run() {
    let remedy = "hint: nothing of it was run; if you trust the file, load it with PyTorch and save nothing but `model.state_dict()`, and convert that\n";
    for (name, asks, at) in [("harm.bin", "posix.system", 0), ("stranger.bin", "somebody.models.Net", 0)] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = fixture(name);
        let got = effattn(dir.path(), &["convert", "--from", "pytorch", path.to_str().expect("UTF-8"), "-o", "out"]);
        let said = String::from_utf8(got.stderr).expect("UTF-8");
        assert_eq!((got.status.code(), std::fs::read_dir(dir.path()).expect("listed").count()), (Some(1), at), "{said}");
        assert!(
            said.contains(&format!(
                "data.pkl: the pickle asks for `{asks}`, which is not among the names that a checkpoint may use (at byte "
            )) && said.ends_with(remedy),
            "{said}"
        );
    }
}

#[test]
fn directories_hold_one_checkpoint() {
    let dir = tempfile::tempdir().expect("a directory");
    let here = dir.path();
    let put = |name: &str, from: &str| {
        std::fs::copy(fixture(from), here.join(name)).expect("copied");
    };
    let run = |more: &[&str]| {
        let got = effattn(here, &[&["convert", "--from", "pytorch", ".", "-o", "out", "-q"], more].concat());
        let _ = std::fs::remove_dir_all(here.join("out"));
        (got.status.code(), String::from_utf8(got.stderr).expect("UTF-8"))
    };
    let says = |told: &str| {
        let (code, said) = run(&[]);
        assert!(code == Some(1) && said.starts_with(told), "no `{told}` in {said}");
    };
    says("error: .: no checkpoint here\nhint: ");
    put("optimizer.pt", "kinds.pt");
    put("net.pth", "kinds.pt");
    assert_eq!(run(&[]), (Some(0), String::new()));
    put("other.ckpt", "kinds.pt");
    says("error: .: several checkpoints here: `net.pth`, `other.ckpt`\nhint: name the file that is meant");
    put("a-00001-of-00002.bin", "sharded/pytorch_model-00001-of-00002.bin");
    says("error: .: 1 shards of 2\n");
    put("a-00002-of-00002.bin", "sharded/pytorch_model-00001-of-00002.bin");
    says("error: ./a-00002-of-00002.bin: `inner.weight` is in `./a-00001-of-00002.bin` too\n");
    for (index, told) in [
        (r#"{"weight_map": {"x": "../net.pth"}}"#, "`x` is in no file beside it"),
        (r#"{"weight_map": {"x": "net.pth"}}"#, "`x` is in none of its files"),
        (r#"{"weight_map": {}}"#, "`weight_map` is empty"),
        ("[]", "no `weight_map`"),
        ("{", "not valid JSON"),
    ] {
        std::fs::write(here.join("pytorch_model.bin.index.json"), index).expect("written");
        let (code, said) = run(&[]);
        assert!(code == Some(1) && said.contains(told), "no `{told}` in {said}");
    }
    put("model.safetensors", "kinds.expected.safetensors");
    assert_eq!(run(&[]).0, Some(0));
    std::fs::write(here.join("config.json"), "[]").expect("written");
    says("error: ./config.json: not a JSON object\nhint: `--config FILE`");
    std::fs::write(here.join("own.json"), r#"{"model_type": "own"}"#).expect("written");
    assert_eq!(run(&["--config", "own.json"]).0, Some(0));
}

/// Converts bytes in this process; fails the test if an error leaves something behind.
fn convert(bytes: &[u8]) -> Result<Vec<String>> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("m.bin");
    std::fs::write(&path, bytes).expect("written");
    let request = Request { checkpoint: &path, config: None, target: &dir.path().join("out"), kind: None, force: false };
    let begun = Instant::now();
    let got = torch::convert(&request, &mut |_, _| true);
    assert!(begun.elapsed() < Duration::from_secs(10), "takes too long");
    let left = std::fs::read_dir(dir.path()).expect("listed").count();
    assert_eq!(left, if got.is_ok() { 2 } else { 1 }, "something is left behind");
    got.map(|done| done.expect("nobody stopped it").1)
}

fn refused(bytes: &[u8], told: &str) {
    let error = convert(bytes).expect_err(told);
    assert!(error.message().contains(told), "no `{told}` in `{error}`");
}

#[test]
fn files_of_other_kinds_are_named() {
    refused(b"", "it is empty");
    refused(b"\x80\x02N.", "a pickle, but none that `torch.save` wrote");
    refused(b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS");
    refused(&[&[0; 257][..], b"ustar", &[0; 300]].concat(), "before version 0.1.10");
    refused(b"GGUF", "neither a file of PyTorch nor safetensors");
    refused(b"\x10\0\0\0\0\0\0\0{", "not a readable safetensors file");
    refused(b"PK\x03\x04", "not a readable zip file");
    refused(&zip(&[("a/other", b"")]), "a zip file without `data.pkl`");
    refused(&zip(&[("a/data.pkl", b"N."), ("a/constants.pkl", b"N.")]), "a program of TorchScript");
    refused(&zip(&[("a/data.pkl", b"N."), ("a/byteorder", b"big")]), "the highest byte first");
}

/// A zip file with these entries, stored as they are.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let (n, size) = ((name.len() as u16).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
        let at = (file.len() as u32).to_le_bytes();
        table.extend([&b"PK\x01\x02"[..], &[0; 16], &size, &size, &n, &[0; 12], &at, name.as_bytes()].concat());
        file.extend([&b"PK\x03\x04"[..], &[0; 14], &size, &size, &n, &[0; 2], name.as_bytes(), bytes].concat());
    }
    let (count, at) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &(table.len() as u32).to_le_bytes(), &at, &[0; 2]].concat();
    [file, table, end].concat()
}

/// The pickle of `{name: tensor}` over storage 0.
fn pickle(name: &str, numbers: u8, offset: &[u8], shape: &[&[u8]], strides: &[&[u8]]) -> Vec<u8> {
    let text = |t: &str| [b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
    let tuple = |items: &[&[u8]]| [b"(", items.concat().as_slice(), b"t"].concat();
    [
        &b"\x80\x02}"[..],
        &text(name),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &[b'K', numbers],
        b"tQ",
        offset,
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs.",
    ]
    .concat()
}

#[test]
fn tensors_stay_inside_of_their_storages() {
    let four = [0; 16];
    let of = |pickle: Vec<u8>| zip(&[("a/data.pkl", &pickle), ("a/data/0", &four)]);
    assert!(convert(&of(pickle("w", 4, b"K\x00", &[b"K\x02", b"K\x02"], &[b"K\x02", b"K\x01"]))).is_ok());
    let beyond = "reaches beyond the 16 bytes of its storage";
    refused(&of(pickle("w", 4, b"K\x01", &[b"K\x04"], &[b"K\x01"])), beyond);
    refused(&of(pickle("w", 9, b"K\x00", &[b"K\x05"], &[b"K\x01"])), beyond);
    refused(&of(pickle("w", 4, b"K\x00", &[b"K\x02"], &[b"K\x04"])), beyond);
    let huge: &[u8] = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    refused(&of(pickle("w", 4, b"K\x00", &[huge], &[b"K\x01"])), beyond);
    refused(&of(pickle("w", 4, b"K\x00", &[huge, huge], &[b"K\x00", b"K\x00"])), beyond);
    refused(&of(pickle("w", 4, huge, &[b"K\x01"], &[b"K\x01"])), beyond);
    refused(&of(pickle("w", 4, b"K\x00", &[b"K\x02"], &[huge])), beyond);
    // one number, as often as somebody likes
    refused(&of(pickle("w", 4, b"K\x00", &[huge], &[b"K\x00"])), "the same ones again and again");
    refused(&of(pickle("w", 4, b"K\x00", &[b"J\xff\xff\xff\xff"], &[b"K\x01"])), "a size, an offset or a stride of -1");
    refused(&of(pickle("w", 4, b"K\x00", &[b"K\x01"], &[])), "1 sides and 0 strides");
    // nothing, in sizes whose product is more than any number
    assert!(convert(&of(pickle("w", 4, b"K\x00", &[b"K\x00", huge, huge], &[huge, huge, b"K\x01"]))).is_ok());
    refused(&of(pickle("w", 4, b"N", &[b"K\x01"], &[b"K\x01"])), "an offset or a stride that is none");
    refused(&of(pickle("__metadata__", 4, b"K\x00", &[b"K\x01"], &[b"K\x01"])), "`__metadata__`");
    refused(&zip(&[("a/data.pkl", &pickle("w", 4, b"K\x00", &[b"K\x01"], &[b"K\x01"]))]), "its storage `0` is not in the file");
}

/// What PyTorch writes behind the strides: that the numbers of a view of another tensor count negated or conjugated (`Tensor._reduce_ex_internal`,
/// an argument that is there only if there is something to say).
#[test]
fn numbers_that_are_meant_otherwise_are_refused() {
    let bit = |name: &str| [b"}X", &(name.len() as u32).to_le_bytes()[..], name.as_bytes(), b"\x88s"].concat();
    let of = |rebuild: &str, class: &str, more: &[u8]| {
        let plain = pickle("w", 2, b"K\x00", &[b"K\x02"], &[b"K\x01"]);
        let text = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
        let ends = plain.len() - b"tRs.".len();
        let changed = text(&plain[..ends]).replace("_rebuild_tensor_v2", rebuild).replace("FloatStorage", class) + &text(more) + "tRs.";
        let bytes: Vec<u8> = changed.chars().map(|c| c as u8).collect();
        zip(&[("a/data.pkl", &bytes), ("a/data/0", &[0; 16])])
    };
    let both = [&b"}("[..], &bit("conj")[1..10], b"\x88", &bit("neg")[1..9], b"\x88u"].concat();
    let v3 = |bits: &[u8]| [b"ctorch\nuint16\n", bits].concat();
    for (rebuild, class, bits) in [
        ("_rebuild_tensor_v2", "ComplexFloatStorage", bit("conj")),
        ("_rebuild_tensor_v2", "FloatStorage", bit("neg")),
        ("_rebuild_tensor_v2", "ComplexFloatStorage", both),
        ("_rebuild_tensor_v3", "UntypedStorage", v3(&bit("neg"))),
    ] {
        let error = convert(&of(rebuild, class, &bits)).expect_err("refused");
        assert!(error.message().contains("a tensor that is to be negated or conjugated when it is read"), "{rebuild} {class}: {error}");
        assert_eq!(error.remedy(), Some("store it as it is: `.resolve_neg().resolve_conj()`"));
    }
    // nothing to say, and the same tensors without it
    for (rebuild, class, more) in [
        ("_rebuild_tensor_v2", "ComplexFloatStorage", &b""[..]),
        ("_rebuild_tensor_v2", "FloatStorage", b"}"),
        ("_rebuild_tensor_v2", "FloatStorage", b"N"),
        ("_rebuild_tensor_v3", "UntypedStorage", &v3(b"")),
        ("_rebuild_tensor_v3", "UntypedStorage", &v3(b"}")),
    ] {
        if let Err(error) = convert(&of(rebuild, class, more)) {
            panic!("{rebuild} {class}: {error}");
        }
    }
}

#[test]
fn values_that_are_no_model() {
    let of = |pickle: &[u8]| zip(&[("a/data.pkl", pickle)]);
    refused(&of(b"N."), "it holds none, not a dictionary of tensors");
    refused(&of(b"}."), "its dictionary has no tensors; there is nothing");
    refused(&of(b"}X\x01\0\0\0aNs."), "there is `a`");
    // a dictionary in itself, and tuples in tuples
    refused(&of(b"}q\x00X\x05\0\0\0modelh\x00s."), "nested too deep, or in themselves");
    refused(&of(&[b")".as_slice(), &vec![0x85; 400_000], b"."].concat()), "it holds a tuple");
    refused(&of(b"NQ."), "a tuple is asked for");
    refused(&of(b")Q."), "no storage");
    refused(&of(b"(X\x07\0\0\0storageNNNNtQ."), "no storage");
    refused(&of(b"ctorch._utils\n_rebuild_tensor_v2\n)R."), "without its sizes");
    refused(&of(b"ctorch._utils\n_rebuild_parameter\nN\x85R."), "a parameter of none");
    refused(&of(b"ctorch._tensor\n_rebuild_from_type_v2\nctorch._tensor\n_rebuild_from_type_v2\n\x85R."), "does not take");
    refused(&of(b"cbuiltins\ngetattr\n."), "asks for `builtins.getattr`");
    refused(&of(b"ctorch\nload\n."), "asks for `torch.load`");
    refused(&of(b"ctorch\nQInt8Storage\n."), "asks for `torch.QInt8Storage`");
    refused(&of(b"ctrax.shapes\nShapeDtype\n."), "asks for `trax.shapes.ShapeDtype`");
}

#[test]
fn every_beginning_of_a_file_is_an_error() {
    for name in ["kinds.pt", "kinds-legacy.bin", "fairseq-legacy.pt"] {
        let bytes = std::fs::read(fixture(name)).expect("the fixture");
        assert!(convert(&bytes).is_ok(), "{name}");
        for end in (0..bytes.len()).step_by(29).chain([bytes.len() - 1]) {
            assert!(convert(&bytes[..end]).is_err(), "{name}: {end} bytes of {}", bytes.len());
        }
    }
}

/// A generator that is good enough to choose bytes with.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn damaged_files_never_panic() {
    let mut state = 1;
    let mut failed = 0;
    for name in ["kinds.pt", "kinds-legacy.bin", "trained.ckpt", "fairseq.pt", "fairseq-legacy.pt", "newer.pt"] {
        let whole = std::fs::read(fixture(name)).expect("the fixture");
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..1 + next(&mut state) % 4 {
                let at = next(&mut state) % bytes.len();
                bytes[at] = next(&mut state) as u8;
            }
            failed += usize::from(convert(&bytes).is_err());
        }
    }
    assert!(failed > 100, "only {failed} damages are seen");
}
