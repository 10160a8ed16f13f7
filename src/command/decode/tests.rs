use super::testing::{Echo, args};
use super::*;
use crate::error::Result;
use crate::timing::Fake;
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Outcome {
    exit: Result<Exit>,
    out: String,
}

fn run_with(model: Echo, words: &[&str]) -> Outcome {
    let args = args(words);
    let mut out = Vec::new();
    let clock = Fake::ticking(Duration::from_millis(1));
    let exit = args.check().and_then(|()| decode(&args, true, model.checkpoint(), &mut out, &clock));
    Outcome { exit, out: String::from_utf8(out).unwrap() }
}

fn run(words: &[&str]) -> Outcome {
    run_with(Echo::new(true, None), words)
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

const RECORDS: &str = "{\"id\":\"x\",\"text\":\"a b c\"}\n{\"id\":\"y\",\"text\":\"\"}\n{\"id\":\"z\",\"text\":\"c\",\"k\":1}\n";

#[test]
fn one_text() {
    let dir = tempfile::tempdir().unwrap();
    let text = file(dir.path(), "t.txt", "a b\n");
    let got = run(&[&text]);
    assert_eq!((got.exit.unwrap(), got.out.as_str()), (Exit::Success, "a b\n"));
    let got = run(&[&text, "--ids"]);
    assert_eq!(got.exit.unwrap_err().message(), format!("`{text}`: `a` is no token id"));
    let ids = file(dir.path(), "i.txt", "3 4");
    assert_eq!(run(&[&ids, "--ids"]).out, "3 4 2\n");
    assert_eq!(run(&[&text, "--source-prefix", "sum: "]).out, "sum : a b\n");
}

#[test]
fn records_keep_their_order_and_bad_ones_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let records = file(dir.path(), "r.jsonl", RECORDS);
    let mut all = Vec::new();
    for batch in ["1", "2", "8", "auto"] {
        let got = run(&[&records, "--batch-size", batch]);
        assert_eq!((got.exit.unwrap(), got.out.as_str()), (Exit::SomeFailed, "a b c\n\nc\n"));
        all.push(run(&[&records, "--batch-size", batch, "-f", "jsonl", "--keep-columns", "k"]).out);
    }
    all.dedup();
    let [only] = all.as_slice() else { panic!("batches differ") };
    let lines: Vec<serde_json::Value> = only.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(
        (&lines[0]["n_input_tokens"], &lines[0]["n_output_tokens"], &lines[0]["finish_reason"]),
        (&5.into(), &5.into(), &"stop".into())
    );
    assert_eq!(lines[1]["error"], format!("`{records}:2`: the document is empty"));
    assert_eq!((&lines[2]["k"], &lines[2]["ttft_ms"], &lines[0]["k"]), (&1.into(), &serde_json::Value::Null, &serde_json::Value::Null));
}

#[test]
fn times_come_from_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let records = file(dir.path(), "r.jsonl", "{\"text\":\"a\"}\n");
    let got = run(&[&records, "-f", "jsonl", "--timings"]);
    let line: serde_json::Value = serde_json::from_str(&got.out).unwrap();
    assert_eq!(line["token_ms"], serde_json::json!([1.0, 1.0, 1.0]));
    assert_eq!((&line["ttft_ms"], &line["tpot_ms"], &line["total_ms"]), (&1.0.into(), &1.0.into(), &3.0.into()));
}

#[test]
fn too_long_fails_is_cut_or_comes_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let text = file(dir.path(), "t.txt", "a b. c a b");
    let short = || Echo::new(true, Some(5));
    let error = run_with(short(), &[&text]).exit.unwrap_err();
    assert_eq!(error.message(), format!("`{text}`: the document has 8 tokens, the model reads at most 5"));
    assert_eq!(run_with(short(), &[&text, "--on-overflow", "truncate"]).out, "a b .\n");
    for batch in ["1", "2"] {
        let chunk = [&text, "--on-overflow", "chunk", "--batch-size", batch];
        assert_eq!(run_with(short(), &chunk).out, "a b . c a b\n");
        let json = run_with(short(), &[&chunk[..], &["-f", "jsonl"]].concat()).out;
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&line["chunks"], &line["n_used_tokens"], &line["truncated"], &line["n_output_tokens"]),
            (&2.into(), &8.into(), &false.into(), &10.into())
        );
    }
    assert_eq!(run_with(short(), &[&text, "--on-overflow", "chunk", "--stream"]).out, "a b . c a b\n");
}

#[test]
fn decoder_only_models_get_the_template() {
    let dir = tempfile::tempdir().unwrap();
    let text = file(dir.path(), "t.txt", "a b c");
    let model = |most| Echo::new(false, Some(most));
    let asked = ["--template", "{document} so", "--max-new-tokens", "2"];
    // it echoes its prompt: <s> a b c so </s>, of which two tokens fit
    assert_eq!(run_with(model(9), &[&[text.as_str()], &asked[..]].concat()).out, "a\n");
    let error = run_with(model(7), &[&[text.as_str()], &asked[..]].concat()).exit.unwrap_err();
    assert_eq!(error.message(), format!("`{text}`: the document has 6 tokens, only 5 are left of 7 beside the new ones"));
    let cut = run_with(model(7), &[&[text.as_str(), "-f", "jsonl", "--on-overflow", "truncate"], &asked[..]].concat()).out;
    let line: serde_json::Value = serde_json::from_str(&cut).unwrap();
    assert_eq!((&line["n_used_tokens"], &line["truncated"], &line["finish_reason"]), (&5.into(), &true.into(), &"length".into()));
    let error = run_with(Echo::new(true, None), &[&[text.as_str()], &asked[..]].concat()).exit.unwrap_err();
    assert_eq!((error.exit_code(), error.message()), (2, "`--template` is for decoder-only models, `echo` has an encoder"));
}

#[test]
fn streaming_prints_what_is_printed_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let records = file(dir.path(), "r.jsonl", RECORDS);
    assert_eq!(run(&[&records, "--stream"]).out, run(&[&records]).out);
    let error = run(&[&records, "--stream", "--num-beams", "2"]).exit.unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn resuming_gives_the_file_of_an_unbroken_run() {
    let dir = tempfile::tempdir().unwrap();
    let records = file(dir.path(), "r.jsonl", RECORDS);
    let path = dir.path().join("o.jsonl");
    let output = path.to_string_lossy().into_owned();
    let command = [records.as_str(), "-o", output.as_str()];
    assert_eq!(run(&command).exit.unwrap(), Exit::SomeFailed);
    let whole = std::fs::read_to_string(&path).unwrap();
    let resume = [&command[..], &["--resume"]].concat();
    assert_eq!(run(&resume).exit.unwrap(), Exit::SomeFailed);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    for cut in [0, 1, whole.find('\n').unwrap() + 1, whole.len() - 2, whole.len()] {
        std::fs::remove_file(&path).unwrap();
        let args = args(&resume);
        let generation = Generation::resolve(None, &serde_json::json!({"eos_token_id": 2}), &args.generate.overrides()).unwrap();
        let mut partial =
            Partial::create(&path, Some(&settings(&args, ("the embedded one".to_owned(), &[]), (None, None), &generation).unwrap()))
                .unwrap();
        partial.write(&whole[..cut]).unwrap();
        drop(partial);
        assert_eq!(run(&resume).exit.unwrap(), Exit::SomeFailed);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    }
    let error = run(&[&resume[..], &["--seed", "9"]].concat()).exit.unwrap_err();
    assert_eq!(error.message(), "record 1 of the output was made with another seed, document 1 is `x`");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// A checkpoint that asks for a prefix and for two tokens at least.
fn asking() -> Checkpoint {
    let task = serde_json::json!({"prefix": "sum: ", "max_length": 5});
    let config = serde_json::json!({"eos_token_id": 2, "task_specific_params": {"summarization": task}});
    Checkpoint { config, ..Echo::new(true, None).checkpoint() }
}

#[test]
fn a_prefix_of_the_checkpoint_is_part_of_every_document() {
    let dir = tempfile::tempdir().unwrap();
    let records = file(dir.path(), "r.jsonl", "{\"text\":\"a b\"}\n{\"text\":\"c\"}\n");
    let with = |checkpoint: Checkpoint, words: &[&str]| {
        let mut out = Vec::new();
        decode(&args(words), true, checkpoint, &mut out, &Fake::ticking(Duration::ZERO)).map(|_| String::from_utf8(out).unwrap())
    };
    // four new tokens are the task's, of which three show
    assert_eq!(with(asking(), &[&records]).unwrap(), "sum : a\nsum : c\n");
    assert_eq!(with(asking(), &[&records, "--max-length", "9"]).unwrap(), "sum : a b\nsum : c\n");
    assert_eq!(with(asking(), &[&records, "--source-prefix", "so "]).unwrap(), "so a b\nso c\n");
    assert_eq!(with(asking(), &[&records, "--source-prefix", ""]).unwrap(), "a b\nc\n");
    let counts = |words: &[&str]| -> Vec<u64> {
        let out = with(asking(), &[&[records.as_str(), "-f", "jsonl"], words].concat()).unwrap();
        out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["n_input_tokens"].as_u64().unwrap()).collect()
    };
    assert_eq!((counts(&[]), counts(&["--source-prefix", ""])), (vec![6, 5], vec![4, 3]));
    // ids hold it already
    let ids = file(dir.path(), "i.txt", "3 4");
    assert_eq!(with(asking(), &[&ids, "--ids"]).unwrap(), "3 4 2\n");
    // a model without an encoder has no such task
    let mut alone = asking();
    alone.model = Box::new(Echo::new(false, None));
    assert!(!with(alone, &[&records, "--template", "{document} so"]).unwrap().contains("sum"));
    // what is done with one prefix is not gone on with under another
    let output = dir.path().join("o.jsonl").to_string_lossy().into_owned();
    with(asking(), &[&records, "-o", &output, "--limit", "1"]).unwrap();
    let text = std::fs::read_to_string(&output).unwrap();
    std::fs::remove_file(&output).unwrap();
    let resume = |words: &[&str]| {
        let words = [&[records.as_str(), "-o", &output, "--resume"], words].concat();
        let generation = Generation { eos: vec![2], max_length: 5, default_length: false, ..Generation::default() };
        let was = settings(&args(&words), ("the embedded one".to_owned(), &[]), (None, Some("sum: ")), &generation).unwrap();
        let path = Path::new(&output);
        let mut partial = Partial::create(path, Some(&was)).unwrap();
        partial.write(&text).unwrap();
        drop(partial);
        let got = with(asking(), &words);
        for left in std::fs::read_dir(dir.path()).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().starts_with("o.jsonl")) {
            std::fs::remove_file(left.path()).unwrap();
        }
        got
    };
    resume(&[]).unwrap();
    let error = resume(&["--source-prefix", "so "]).unwrap_err();
    assert!(error.message().contains("source-prefix"), "{error}");
}

/// A copy of a fixture's model.
fn copy(fixture: &str) -> tempfile::TempDir {
    let (dir, from) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture));
    for name in ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

/// The same directory, and something else in it.
#[test]
fn a_model_that_changed_is_not_gone_on_with() {
    let (model, dir) = (copy("bart-text"), tempfile::tempdir().unwrap());
    let (text, ids) = (file(dir.path(), "t.txt", "the tide"), file(dir.path(), "i.txt", "5 6 7"));
    let path = dir.path().join("o.jsonl");
    let output = path.to_string_lossy().into_owned();
    let open = |more: &[&str]| Checkpoint::open(model.path(), &crate::checkpoint::Options { ids: more == ["--ids"], ..Default::default() });
    let words = |more: &[&'static str]| {
        let input = if more == ["--ids"] { &ids } else { &text };
        let words = [input.as_str(), "-f", "jsonl", "--max-length", "8", "-o", &output, "--resume"];
        args(&words.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let begin = |more: &[&'static str]| {
        let (args, checkpoint) = (words(more), open(more).unwrap());
        let (file, config) = (checkpoint.generation_config.as_ref(), &checkpoint.config);
        let generation = Generation::resolve(file, config, &args.generate.overrides()).unwrap();
        let was = settings(&args, (which(&args, &checkpoint), &checkpoint.fingerprints()), (None, None), &generation).unwrap();
        drop(Partial::create(&path, Some(&was)).unwrap());
        was
    };
    let resume =
        |more: &[&'static str]| decode(&words(more), true, open(more).unwrap(), &mut Vec::new(), &Fake::ticking(Duration::ZERO)).map(drop);
    for more in [&[][..], &["--ids"]] {
        let was = begin(more);
        for (name, setting) in [
            ("config.json", "config-fingerprint"),
            ("generation_config.json", "generation-config-fingerprint"),
            ("tokenizer.json", "tokenizer-fingerprint"),
            ("model.safetensors", "weights-fingerprint"),
        ] {
            let file = model.path().join(name);
            let whole = std::fs::read(&file).unwrap();
            let mut other = whole.clone();
            match name {
                // the last number, by a unit in its last place
                "model.safetensors" => other[whole.len() - 4] ^= 1,
                _ => other.push(b'\n'),
            }
            std::fs::write(&file, other).unwrap();
            // who reads ids needs no tokenizer
            if name == "tokenizer.json" && !more.is_empty() {
                assert!(!was.contains_key(setting) && open(more).unwrap().fingerprints().len() == 3);
            } else {
                let (error, then) = (resume(more).unwrap_err(), &was[setting]);
                assert!(
                    error.message().contains(&format!("was written with other settings: `{setting}` was `{then}`, now it is `\"")),
                    "{error}"
                );
            }
            std::fs::write(&file, whole).unwrap();
        }
        resume(more).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
    // begun before any of this was kept
    begin(&[]);
    let sidecar = dir.path().join("o.jsonl.partial.settings");
    let mut was: serde_json::Map<_, _> = serde_json::from_slice(&std::fs::read(&sidecar).unwrap()).unwrap();
    was.retain(|key, _| !key.ends_with("-fingerprint"));
    std::fs::write(&sidecar, serde_json::Value::Object(was).to_string()).unwrap();
    let error = resume(&[]).unwrap_err();
    assert!(
        error.message().starts_with("cannot tell whether `") && error.message().contains("an earlier version of the program"),
        "{error}"
    );
    assert!(error.remedy().is_some_and(|hint| hint.contains("remove the partial file")));
    // a generation_config.json that is new is a change, not an older version
    let moved = model.path().join("generation_config.json");
    let whole = std::fs::read(&moved).unwrap();
    std::fs::remove_file(&moved).unwrap();
    begin(&[]);
    std::fs::write(&moved, &whole).unwrap();
    let error = resume(&[]).unwrap_err();
    assert!(error.message().contains("other settings: `"), "{error}");
    // and nothing is kept of made-up weights but their seed
    let made_up = crate::checkpoint::Options { random_weights: Some(1), ..Default::default() };
    let names: Vec<&str> = Checkpoint::open(model.path(), &made_up).unwrap().fingerprints().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["config", "generation-config", "tokenizer"]);
}

/// A reader that leaves after so many bytes.
struct Leaves(usize);

impl Write for Leaves {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let records = file(dir.path(), "r.jsonl", RECORDS);
    for words in [&[records.as_str()][..], &[&records, "--stream"], &[&records, "-f", "jsonl"]] {
        let clock = Fake::ticking(Duration::ZERO);
        let exit = decode(&args(words), true, Echo::new(true, None).checkpoint(), &mut Leaves(4), &clock).unwrap();
        assert_eq!(exit, Exit::Success);
    }
}

#[test]
fn an_only_document_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let text = file(dir.path(), "t.txt", " \n");
    let path = dir.path().join("o.jsonl");
    let error = run(&[&text, "-o", &path.to_string_lossy()]).exit.unwrap_err();
    assert_eq!((error.exit_code(), error.message()), (1, format!("`{text}`: the document is empty").as_str()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn no_tokenizer_and_positions_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let text = file(dir.path(), "t.txt", "3");
    let mut checkpoint = Echo::new(true, None).checkpoint();
    checkpoint.tokenizer = None;
    let error = decode(&args(&[&text]), true, checkpoint, &mut Vec::new(), &Fake::ticking(Duration::ZERO)).unwrap_err();
    assert_eq!(error.message(), "`echo` has no tokenizer.json");
    let error = run(&[&text, "--ids", "--global-tokens", "0,1"]).exit.unwrap_err();
    assert_eq!(error.message(), format!("`{text}`: `--global-tokens` names position 1, the document has 1 tokens"));
    let ids = file(dir.path(), "i.txt", "3 99");
    assert_eq!(run(&[&ids, "--ids"]).exit.unwrap_err().message(), format!("`{ids}`: token id 99 is out of range, the model has 10 tokens"));
}
