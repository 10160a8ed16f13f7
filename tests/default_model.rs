//! The program with the model that is part of it, as a new user has it.
#![cfg(feature = "embedded-model")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_effattn");

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents").join(name)
}

fn effattn(words: &[&str]) -> Output {
    Command::new(BINARY).args(words).current_dir(document("")).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

/// Standard output of a run that succeeds.
fn prints(words: &[&str]) -> String {
    let got = effattn(words);
    assert_eq!(got.status.code(), Some(0), "{words:?}: {}", text(&got.stderr));
    text(&got.stdout)
}

#[test]
fn the_binary_alone_in_an_empty_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let alone = dir.path().join("summarise");
    // by another process: one that holds the copy open for writing when a neighbouring test forks would make it "busy"
    assert!(Command::new("cp").arg(BINARY).arg(&alone).status().expect("cp runs").success());
    let got =
        Command::new(&alone).env_clear().current_dir(dir.path()).arg("decode").arg(document("package.txt")).output().expect("it runs");
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    assert!(text(&got.stdout).split_whitespace().count() >= 3, "{}", text(&got.stdout));
    let told = text(&got.stderr);
    assert!(told.starts_with("model: led-small (led, attention: longformer window=") && told.contains("\nsettings: num_beams="), "{told}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1, "it leaves nothing behind");
}

/// From documents to a score. The numbers are those of sacreBLEU and rouge_score for the same summaries.
#[test]
fn what_decode_wrote_is_scored_by_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.jsonl");
    let out = out.to_str().expect("a plain name");
    prints(&["decode", "batch.jsonl", "-q", "-o", out]);
    let got = prints(&["score", "references.jsonl", "-i", out, "-m", "bleu,rouge1,rougeLsum", "--use-stemmer", "-b", "-w", "9"]);
    assert_eq!(got, "34.746959841\n63.022252889\n59.819638510\n");
    // the model is asked for the references: it expects what stands in the document more than what does not
    let asked = |name: &str, text: &str| -> f64 {
        let file = dir.path().join(name);
        let document = "Rain is expected tonight. The ferry to Sandholm sails an hour late.";
        let record = serde_json::json!({"document": document, "summary": text}).to_string();
        std::fs::write(&file, record).expect("a file");
        let file = file.to_str().expect("a plain name");
        prints(&["score", "-m", "ppl", file, "--ref-column", "summary", "--source", file, "-b"]).trim().parse().expect("a number")
    };
    let (near, far) = (asked("near.jsonl", "The ferry to Sandholm sails an hour late."), asked("far.jsonl", "Apples hate Monday trains."));
    assert!(near * 5.0 < far, "{near} and {far}");
}

#[test]
fn batches_and_threads_change_no_byte() {
    for how in [
        &["--num-beams", "4"][..],
        &["--num-beams", "1"],
        &["--do-sample", "--num-beams", "1", "--seed", "5", "--num-return-sequences", "2"],
    ] {
        let run = |batch, threads| {
            prints(
                &[&["decode", "batch.jsonl", "-f", "jsonl", "-q", "--max-new-tokens", "24", "--batch-size", batch, "-t", threads], how]
                    .concat(),
            )
        };
        let one = run("1", "1");
        assert_eq!(one.lines().count(), 6);
        for (batch, threads) in [("8", "1"), ("1", "2"), ("8", "2"), ("3", "2"), ("auto", "2")] {
            assert_eq!(one, run(batch, threads), "{how:?}, batches of {batch}, {threads} threads");
        }
    }
}

#[test]
fn a_seed_changes_draws_and_neighbours_do_not() {
    let sample = |more: &[&str]| {
        prints(&[&["decode", "--do-sample", "--num-beams", "1", "-q", "-f", "jsonl", "--max-new-tokens", "24"], more].concat())
    };
    let batch = sample(&["batch.jsonl", "--seed", "1"]);
    assert_ne!(batch, sample(&["batch.jsonl", "--seed", "2"]));
    let first = sample(&["batch.jsonl", "--seed", "1", "--limit", "1"]);
    assert_eq!(batch.lines().next(), first.lines().next());
}

#[test]
fn the_same_documents_in_every_format() {
    let of = |file: &str| prints(&["decode", file, "-q", "--max-new-tokens", "16"]);
    let lines = of("batch.jsonl");
    assert_eq!(lines.lines().count(), 6);
    assert_eq!((of("batch.csv"), of("batch.tsv")), (lines.clone(), lines));
    let file = std::fs::File::open(document("package.txt")).expect("the document");
    let piped = Command::new(BINARY).args(["decode", "-q"]).stdin(Stdio::from(file)).output().expect("it runs");
    assert_eq!(text(&piped.stdout), prints(&["decode", "package.txt", "-q"]));
    assert_eq!(text(&piped.stdout), prints(&["decode", "package.txt", "-q", "-o", "/dev/stdout"]));
}

#[test]
fn streaming_prints_what_greedy_prints() {
    let greedy = prints(&["decode", "tide-gauge.txt", "-q", "--num-beams", "1"]);
    assert_eq!(greedy, prints(&["decode", "tide-gauge.txt", "-q", "--num-beams", "1", "--stream"]));
    let refused = effattn(&["decode", "tide-gauge.txt", "--stream"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn broken_records_fail_and_the_others_run() {
    let got = effattn(&["decode", "broken.jsonl", "-f", "jsonl", "--max-new-tokens", "16"]);
    assert_eq!(got.status.code(), Some(3));
    let (out, told) = (text(&got.stdout), text(&got.stderr));
    let reasons: Vec<serde_json::Value> =
        out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON")["finish_reason"].clone()).collect();
    assert_eq!(reasons.iter().filter(|r| *r == "error").count(), 3, "{out}");
    assert_eq!((reasons.len(), &reasons[1]), (5, &serde_json::json!("error")));
    for line in [
        "`broken.jsonl:2`: no valid JSON",
        "`broken.jsonl:3`: none of the columns",
        "`broken.jsonl:4`: the document is empty",
        "3 of 5 documents failed",
    ] {
        assert!(told.contains(line), "no `{line}` in {told}");
    }
}

#[test]
fn overflow_is_never_silent() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("longer.txt");
    let long = std::fs::read_to_string(document("long.txt")).expect("the document");
    std::fs::write(&path, format!("{long}\n\n{long}")).expect("written");
    let path = path.to_str().expect("a path");
    let refused = effattn(&["decode", path]);
    let told = text(&refused.stderr);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]), "{told}");
    assert!(told.contains("the model reads at most 4096") && told.contains("hint: `--on-overflow truncate`"), "{told}");
    let record = |how: &str| -> serde_json::Value {
        let out = prints(&["decode", path, "-q", "-f", "jsonl", "--num-beams", "1", "--max-new-tokens", "8", "--on-overflow", how]);
        serde_json::from_str(&out).expect("JSON")
    };
    let cut = record("truncate");
    assert_eq!((&cut["n_used_tokens"], &cut["truncated"]), (&4096.into(), &true.into()));
    let chunks = record("chunk");
    assert_eq!((&chunks["n_used_tokens"], &chunks["truncated"]), (&chunks["n_input_tokens"], &false.into()));
    assert!(chunks["chunks"].as_u64().is_some_and(|n| n >= 2));
}

#[test]
fn times_add_up() {
    let out = prints(&["decode", "package.txt", "-q", "-f", "jsonl", "--timings", "--num-beams", "1"]);
    let r: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let ms = |key: &str| r[key].as_f64().expect("a number");
    let tokens: Vec<f64> = r["token_ms"].as_array().expect("a list").iter().filter_map(serde_json::Value::as_f64).collect();
    assert_eq!(tokens.len() as u64, r["n_output_tokens"].as_u64().expect("a count"));
    assert!((tokens.iter().sum::<f64>() - ms("total_ms")).abs() < 0.1 && (tokens[0] - ms("ttft_ms")).abs() < 0.001);
    let tpot = (ms("total_ms") - ms("ttft_ms")) / (tokens.len() - 1) as f64;
    assert!((tpot - ms("tpot_ms")).abs() < 0.01);
}

/// Killed in the middle and gone on with, the file is that of an unbroken run.
#[test]
fn killed_and_resumed_is_the_same_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = std::fs::read_to_string(document("batch.jsonl")).expect("documents");
    let many: String = (0..8)
        .flat_map(|n| records.lines().map(move |l| (n, l)))
        .map(|(n, line)| {
            let mut r: serde_json::Value = serde_json::from_str(line).expect("JSON");
            r["id"] = serde_json::json!(format!("{n}-{}", r["id"].as_str().expect("an id")));
            format!("{r}\n")
        })
        .collect();
    std::fs::write(dir.path().join("many.jsonl"), many).expect("written");
    let run = |out: &str, more: &[&str]| {
        let words = [&["decode", "many.jsonl", "-q", "-o", out, "--batch-size", "1"], more].concat();
        Command::new(BINARY).args(words).current_dir(dir.path()).stderr(Stdio::null()).spawn().expect("it starts")
    };
    assert!(run("whole.jsonl", &[]).wait().expect("it ends").success());
    let partial = dir.path().join("broken.jsonl.partial");
    let mut kills = 0;
    while !dir.path().join("broken.jsonl").exists() {
        let before = std::fs::metadata(&partial).map_or(0, |m| m.len());
        let mut child = run("broken.jsonl", if before > 0 { &["--resume"] } else { &[] });
        while child.try_wait().expect("it can be asked").is_none() {
            if kills < 3 && std::fs::metadata(&partial).map_or(0, |m| m.len()) > before {
                child.kill().expect("it can be killed");
                kills += 1;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().expect("it ends");
    }
    assert!(kills > 0, "the run was over before it could be killed");
    let read = |name: &str| std::fs::read(dir.path().join(name)).expect("the file");
    assert!(read("whole.jsonl") == read("broken.jsonl"), "after {kills} kills the file differs");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 3, "something is left behind");
}

/// Ctrl-C keeps what is finished and exits with 130.
#[cfg(unix)]
#[test]
fn interrupted_with_130() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = std::fs::read_to_string(document("tide-gauge.txt")).expect("a document");
    let many: String = (0..200).map(|n| format!("{}\n", serde_json::json!({"id": n, "document": text}))).collect();
    std::fs::write(dir.path().join("many.jsonl"), many).expect("written");
    let words = ["decode", "many.jsonl", "-q", "-o", "out.jsonl", "--batch-size", "1"];
    let mut child = Command::new(BINARY).args(words).current_dir(dir.path()).stderr(Stdio::null()).spawn().expect("it starts");
    let partial = dir.path().join("out.jsonl.partial");
    while std::fs::metadata(&partial).map_or(0, |m| m.len()) == 0 {
        assert!(child.try_wait().expect("it can be asked").is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let kept = std::fs::read_to_string(&partial).expect("the finished records");
    assert!(kept.ends_with('\n') && kept.lines().count() < 200);
    assert!(!dir.path().join("out.jsonl").exists());
}

#[test]
fn registries_and_facts() {
    let list: serde_json::Value = serde_json::from_str(&prints(&["list", "-f", "json"])).expect("JSON");
    let names: Vec<&str> = list["model_types"].as_array().expect("a list").iter().filter_map(|m| m["model_type"].as_str()).collect();
    assert_eq!(
        names,
        [
            "bart",
            "bigbird_pegasus",
            "compressive_transformer_lm",
            "effattn_lm",
            "gpt2",
            "led",
            "linformer_lm",
            "linformer_roberta",
            "linformer_tatp22_lm",
            "longt5",
            "mbart",
            "mt5",
            "pegasus",
            "pegasus_x",
            "performer_lm",
            "scaling_transformer",
            "t5",
            "terraformer",
            "transfo-xl",
            "trax_reformer_lm",
            "umt5",
        ]
    );
    let facts: serde_json::Value = serde_json::from_str(&prints(&["inspect", "-f", "json"])).expect("JSON");
    assert_eq!((&facts["model_type"], &facts["max_source"]), (&"led".into(), &4096.into()));
    assert!(facts["parameters"].as_u64().is_some_and(|n| n > 1_000_000));
    assert!(facts["state_bytes"]["1024"].as_u64() < facts["state_bytes"]["4096"].as_u64() && facts["state_bytes"]["16384"].is_null());
}
