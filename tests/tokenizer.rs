//! `effattn tokenizer train`: the tokenizers that Hugging Face's own package trains, and bytes that come back as they went in.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tokenizers::Tokenizer;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokenizer").join(name)
}

fn effattn(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir).output().expect("the binary runs")
}

/// The tokenizer.json of a training, and what was said.
fn trained(words: &[&str], files: &[(&str, &[u8])]) -> (Vec<u8>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    }
    let got = effattn(dir.path(), &[&["tokenizer", "train", "-o", "t.json"], words].concat());
    let said = String::from_utf8(got.stderr).expect("UTF-8");
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(0), &b"t.json\n"[..]), "{said}");
    (std::fs::read(dir.path().join("t.json")).expect("a tokenizer"), said)
}

fn text() -> String {
    fixture("text.txt").to_str().expect("UTF-8").to_owned()
}

fn read(json: &[u8]) -> Tokenizer {
    Tokenizer::from_bytes(json).expect("a tokenizer")
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("JSON")
}

/// Vocabulary, merges and added tokens are those of the Python package on the same file.
#[test]
fn what_is_learned_is_what_the_python_package_learns() {
    let file = text();
    for (golden, words) in [
        ("bpe.json", &["--level", "bpe", "--vocab-size", "340", "--min-frequency", "2", "--special", "<eos>"][..]),
        ("word.json", &["--level", "word", "--vocab-size", "60", "--min-frequency", "2", "--special", "<eos>,<pad>", "--lowercase"]),
    ] {
        let (json, _) = trained(&[words, &[&file]].concat(), &[]);
        let (got, wanted) = (value(&json), value(&std::fs::read(fixture(golden)).expect("the fixture")));
        for key in ["vocab", "merges", "unk_token"] {
            assert_eq!(got["model"][key], wanted["model"][key], "{golden}: {key}");
        }
        for key in ["added_tokens", "normalizer"] {
            assert_eq!(got[key], wanted[key], "{golden}: {key}");
        }
        let wanted = Tokenizer::from_file(fixture(golden)).expect("a tokenizer");
        let sample = "The keeper's gauge,  in 1991 – 水位 of nobody; <eos>";
        assert_eq!(read(&json).encode(sample, false).expect("ids").get_ids(), wanted.encode(sample, false).expect("ids").get_ids());
    }
}

#[test]
fn bytes_are_their_values_and_come_back() {
    let (json, said) = trained(&["--level", "bytes", "--special", "<eos>,<pad>"], &[]);
    assert_eq!(said, "258 tokens\n");
    let tokenizer = read(&json);
    // every character of two bytes and samples of those of three and four: all bytes that occur in UTF-8, and no others exist in text
    let all: String = (0..0x800u32).chain((0x800..0x11_0000).step_by(0x3FD)).filter_map(char::from_u32).collect();
    let text = format!("{all}  \r\n\t two  spaces and a tail\n\n");
    let ids = tokenizer.encode(text.as_str(), true).expect("ids").get_ids().to_vec();
    assert_eq!(ids, text.bytes().map(u32::from).collect::<Vec<_>>());
    assert_eq!(tokenizer.decode(&ids, false).expect("text"), text);
    let seen: std::collections::BTreeSet<u32> = ids.into_iter().collect();
    assert_eq!(seen.len(), 256 - 13, "0xC0, 0xC1 and 0xF5 to 0xFF are in no text");
    // the others have their ids all the same
    let letters: std::collections::BTreeSet<String> = (0..256).map(|id| tokenizer.id_to_token(id).expect("a byte")).collect();
    assert_eq!((letters.len(), tokenizer.token_to_id("<eos>"), tokenizer.token_to_id("<pad>")), (256, Some(256), Some(257)));
    assert_eq!(tokenizer.encode("a<eos>", false).expect("ids").get_ids(), [97, 256]);
}

#[test]
fn byte_pairs_give_back_any_text() {
    let (json, _) = trained(&["--level", "bpe", "--vocab-size", "300", &text()], &[]);
    let tokenizer = read(&json);
    let strange = "Ünknown\u{0}  words\u{2003}and\r\nمرحبا 👩‍🚀\t";
    let ids = tokenizer.encode(strange, false).expect("ids").get_ids().to_vec();
    assert_eq!(tokenizer.decode(&ids, false).expect("text"), strange);
    assert_eq!(tokenizer.get_vocab_size(true), 300);
}

#[test]
fn the_same_texts_give_the_same_file() {
    // many words that are equally frequent, in several files
    let words: String = (0..3000u32).map(|i| format!("w{} ", i.wrapping_mul(2_654_435_761) % 1500)).collect();
    let files: &[(&str, &[u8])] = &[("a.txt", words.as_bytes()), ("b.txt", &words.as_bytes()[2000..9000])];
    for level in ["bpe", "word"] {
        let run = |threads: &str| trained(&["--level", level, "--vocab-size", "600", "a.txt", "b.txt", "-t", threads], files).0;
        let first = run("1");
        for threads in ["1", "2", "5"] {
            assert!(run(threads) == first, "{level} on {threads} threads");
        }
    }
}

#[test]
fn records_and_columns_are_read_as_documents() {
    let plain = trained(&["--level", "word", "--vocab-size", "50", "a.txt"], &[("a.txt", b"one two two")]).0;
    let records: &[(&str, &[u8])] =
        &[("a.jsonl", b"{\"body\": \"one two\", \"text\": \"three\"}\n{\"body\": \"two\", \"text\": \"four\"}\n")];
    let (json, said) = trained(&["--level", "word", "--vocab-size", "50", "--text-column", "body", "a.jsonl"], records);
    assert_eq!(json, plain);
    assert_eq!(said, "3 tokens of 50: the texts have no more\n");
    assert_eq!(value(&json)["model"]["vocab"], serde_json::json!({"<unk>": 0, "two": 1, "one": 2}));
}

#[test]
fn what_cannot_be_is_refused() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--level", "bpe", "a.txt"], 2, "error: `--vocab-size` is missing\nhint: for instance `--vocab-size 8192`\n"),
        (
            &["--level", "bpe", "--vocab-size", "256", "--special", "<eos>", "a.txt"],
            2,
            "error: a vocabulary of 256 tokens has no room for the 257 that are always there\nhint: make it larger\n",
        ),
        (
            &["--level", "bytes", "--vocab-size", "300"],
            2,
            "error: a vocabulary of 300 tokens, but there are 256: the bytes and the special ones\nhint: leave out `--vocab-size`\n",
        ),
        (
            &["--level", "bytes", "--lowercase"],
            2,
            "error: `--level bytes` takes bytes as they are\nhint: leave out `--lowercase` and `--min-frequency`\n",
        ),
        (&["--level", "bytes", "a.txt"], 2, "error: `--level bytes` learns nothing from texts\nhint: leave out the files\n"),
        (
            &["--level", "word", "--vocab-size", "9", "--special", "a,a", "a.txt"],
            2,
            "error: special token 2 `a` comes twice\nhint: name each once, separated by commas\n",
        ),
        (
            &["--level", "word", "--vocab-size", "9", "b.txt"],
            1,
            "error: cannot read `b.txt`: no such file or directory\nhint: check the path; `-` reads standard input\n",
        ),
        (
            &["--level", "word", "--vocab-size", "9", "a.txt", "-o", "a.txt"],
            1,
            "error: `a.txt` is there already\nhint: name another file, or replace it with `--force`\n",
        ),
    ];
    for (words, code, stderr) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("a.txt"), "a b").expect("written");
        let output: &[&str] = if words.contains(&"-o") { &[] } else { &["-o", "t.json"] };
        let got = effattn(dir.path(), &[&["tokenizer", "train"], *words, output].concat());
        assert_eq!((String::from_utf8_lossy(&got.stderr).as_ref(), got.status.code()), (*stderr, Some(*code)), "{words:?}");
        assert_eq!((got.stdout.len(), std::fs::read_dir(dir.path()).expect("listed").count()), (0, 1), "{words:?}");
    }
}
