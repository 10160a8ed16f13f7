//! `effattn bench` from outside: what it refuses, what it leaves when it is interrupted, and that it goes on from there.

use effattn::arch::REGISTRY;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A directory with the tiny configuration of each of these model types.
fn models(types: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for arch in REGISTRY.iter().filter(|a| types.contains(&a.model_type)) {
        let model = dir.path().join(arch.model_type);
        std::fs::create_dir(&model).expect("a directory");
        std::fs::write(model.join("config.json"), arch.tiny).expect("a file");
    }
    dir
}

fn command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_effattn"));
    command.arg("bench").args(words).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(dir: &Path, words: &[&str]) -> Output {
    command(dir, words).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the file is there");
    text.lines().map(|l| serde_json::from_str(l).expect("a record a line")).collect()
}

/// Exit code and standard error of something that is refused, with nothing on standard output and nothing left behind.
#[track_caller]
fn refuses(dir: &Path, words: &[&str], code: i32, stderr: &str) {
    let before = std::fs::read_dir(dir).expect("a directory").count();
    let got = run(dir, words);
    assert_eq!(text(&got.stderr), stderr, "{words:?}");
    assert_eq!((got.status.code(), text(&got.stdout).as_str()), (Some(code), ""), "{words:?}");
    assert_eq!(std::fs::read_dir(dir).expect("a directory").count(), before, "{words:?} left something behind");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is() {
    let dir = models(&["led", "gpt2"]);
    let dir = dir.path();
    std::fs::write(dir.join("s.toml"), "summary = \"s\"\n\n[[model]]\nname = \"m\"\npath = \"led\"\nrandom-weights = true\nsize = 3\n")
        .expect("a file");
    refuses(
        dir,
        &["-m", "led", "--random-weights", "--resume"],
        2,
        "error: `--resume` needs a file to go on with\nhint: name it with `-o FILE`\n",
    );
    refuses(dir, &["-m", "led,led", "--random-weights"], 2, "error: `led` is named twice\nhint: name each model once\n");
    refuses(
        dir,
        &["-m", "led-base-16384"],
        2,
        "error: `led-base-16384` is a configuration without weights\nhint: have them made up with `--random-weights`, or name a checkpoint's directory\n",
    );
    refuses(
        dir,
        &["-m", "gpt2", "--random-weights", "-p", "0", "-n", "0"],
        2,
        "error: there is nothing to measure: no case reads or writes a token\nhint: give `-p` or `-n` above 0\n",
    );
    refuses(
        dir,
        &["-m", "led", "--random-weights", "-o", "x", "--plot", "x"],
        2,
        "error: two outputs have the same name\nhint: give each of `-o`, `--plot`, `--html` its own\n",
    );
    let suite = run(dir, &["--suite", "s.toml"]);
    assert!(text(&suite.stderr).starts_with("error: s.toml:7: "), "{}", text(&suite.stderr));
    assert_eq!(suite.status.code(), Some(1));
}

/// A suite that leaves the type of the weights open takes one from the command line.
#[test]
fn a_type_beside_a_suite() {
    let dir = models(&["led"]);
    let suite = |dtype: &str| {
        let model = "summary = \"s\"\n[[model]]\nname = \"m\"\npath = \"led\"\nrandom-weights = true\n";
        std::fs::write(dir.path().join("s.toml"), format!("{model}[[case]]\nn-prompt = 8\nn-gen = 4\n{dtype}")).expect("a file");
    };
    suite("");
    let words = ["--suite", "s.toml", "-r", "1", "-f", "jsonl"];
    let held = |more: &[&str]| {
        let record: Value = serde_json::from_slice(&run(dir.path(), &[&words[..], more].concat()).stdout).expect("a record");
        (record["dtype"].as_str().expect("a type").to_owned(), record["weight_bytes_per_step"].as_u64().expect("bytes"))
    };
    let (whole, small) = (held(&[]), held(&["--dtype", "int8"]));
    assert_eq!((whole.0.as_str(), small.0.as_str()), ("f32", "int8"));
    assert!(small.1 < whole.1);
    refuses(
        dir.path(),
        &["--suite", "s.toml", "--dtype", "f32,int8"],
        2,
        "error: `--dtype` takes one type with a suite\nhint: lists of types belong into the suite's cases\n",
    );
    suite("dtype = \"bf16\"\n");
    refuses(
        dir.path(),
        &["--suite", "s.toml", "--dtype", "int8"],
        2,
        "error: s.toml:6: `--dtype` beside a suite that asks for a type itself\nhint: leave out `--dtype`, or the suite's `dtype`\n",
    );
}

/// Attentions on the same weights: a window over everything is no distance from full attention, a narrow one is.
#[test]
fn how_far_the_logits_of_another_attention_are() {
    let dir = models(&["led"]);
    let model = |name: &str, attention: &str, from: &str| {
        format!("[[model]]\nname = \"{name}\"\npath = \"led\"\nrandom-weights = true\n{attention}{from}")
    };
    let from = "distance-from = \"full\"\n";
    let models = [model("full", "attention = \"full\"\n", ""), model("own", "", from), model("wide", "attention = \"window=128\"\n", from)];
    let suite = format!("summary = \"s\"\n{}[[case]]\nn-prompt = [3, 64]\nn-gen = 0\nbatch-size = 2\n", models.concat());
    std::fs::write(dir.path().join("s.toml"), suite).expect("a file");
    let got = run(dir.path(), &["--suite", "s.toml", "-r", "1", "-f", "jsonl"]);
    let records: Vec<Value> = text(&got.stdout).lines().map(|l| serde_json::from_str(l).expect("a record a line")).collect();
    let of = |name: &str, n: u64| &records.iter().find(|r| r["model"] == name && r["n_prompt"] == n).expect("a record")["distance"];
    assert!(of("full", 64).is_null());
    for (name, n) in [("wide", 3), ("wide", 64), ("own", 3)] {
        let d = of(name, n);
        assert_eq!(
            (&d["from"], &d["relative"], &d["greatest"], &d["same_token"]),
            (&"full".into(), &0.0.into(), &0.0.into(), &2.into()),
            "{name} {n}"
        );
    }
    let d = of("own", 64);
    assert!(d["relative"].as_f64().expect("a number") > 1e-4 && d["kl_nats"].as_f64().expect("a number") > 0.0, "{d}");
    let table = text(&run(dir.path(), &["--suite", "s.toml", "-r", "1"]).stdout);
    assert!(table.contains("longformer window=128") && table.contains("2 of 2") && table.contains("‖a − b‖"), "{table}");
    refuses(
        dir.path(),
        &["-m", "led", "--random-weights", "--attention", "block=4"],
        2,
        "error: `led` does not run with `--attention block=4`\nhint: on its weights run `auto`, `full`, `window=N`\n",
    );
}

#[test]
fn what_does_not_fit_is_named_with_its_forecast_and_the_rest_is_measured() {
    let dir = models(&["led"]);
    let words = ["-m", "led", "--random-weights", "-p", "8", "-n", "4", "-b", "1,1000000000", "-r", "2", "-f", "jsonl"];
    let got = run(dir.path(), &words);
    assert_eq!(got.status.code(), Some(3));
    assert!(text(&got.stderr).contains("b1000000000 t") && text(&got.stderr).contains("needs about"), "{}", text(&got.stderr));
    let records: Vec<Value> = text(&got.stdout).lines().map(|l| serde_json::from_str(l).expect("a record a line")).collect();
    assert_eq!(records.len(), 2);
    assert!(records.iter().any(|r| r["repetitions"] == 2 && r["error"].is_null()));
    assert!(records.iter().any(|r| r["repetitions"] == 0 && r["error"].as_str().is_some_and(|e| e.contains("available"))));
}

/// Waits until the journal holds `runs` runs.
fn wait_for(path: &Path, runs: usize, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(path).map_or(0, |t| t.lines().count()) < runs + 1 {
        assert!(Instant::now() < until && child.try_wait().expect("a child").is_none(), "the runs do not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_writes_what_is_finished_and_resume_goes_on() {
    let dir = models(&["bart", "led"]);
    let (out, runs) = (dir.path().join("o.jsonl"), dir.path().join("o.jsonl.runs"));
    let words =
        |repetitions: &'static str| ["-m", "led,bart", "--random-weights", "-p", "8", "-n", "4", "-o", "o.jsonl", "-r", repetitions];
    let mut child = command(dir.path(), &words("1000000")).spawn().expect("the binary starts");
    wait_for(&runs, 5, &mut child);
    let mut second = words("1000000").to_vec();
    assert!(text(&run(dir.path(), &second).stderr).contains("is left from an interrupted run"));
    second.push("--resume");
    assert!(text(&run(dir.path(), &second).stderr).contains("another run is writing `o.jsonl.runs`"));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let got = child.wait_with_output().expect("the binary ends");
    assert_eq!(got.status.code(), Some(130), "{}", text(&got.stderr));
    let finished = records(&out);
    let kept = std::fs::read_to_string(&runs).expect("the journal stays").lines().count() - 1;
    assert_eq!(finished.iter().map(|r| r["repetitions"].as_u64().expect("a number") as usize).sum::<usize>(), kept);
    assert!(finished.len() == 2 && kept >= 5);

    let left = run(dir.path(), &words("10"));
    assert!(text(&left.stderr).contains("is left from an interrupted run"), "{}", text(&left.stderr));
    // as many runs as there are, and some more
    let more = (kept / 2 + 4).to_string();
    let mut resumed: Vec<&str> = words("10").to_vec();
    let last = resumed.len() - 1;
    resumed[last] = &more;
    resumed.push("--resume");
    let got = run(dir.path(), &resumed);
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    assert!(!runs.exists(), "a finished table needs no journal");
    for (record, before) in records(&out).iter().zip(&finished) {
        let (all, some) = (record["token_ns"].as_array().expect("a list"), before["token_ns"].as_array().expect("a list"));
        assert_eq!(all.len().to_string(), more);
        assert_eq!(&all[..some.len()], some, "what was measured is kept");
    }
}

/// A case's figures are those of its own samples, whatever the format.
#[test]
fn formats_agree() {
    let dir = models(&["led", "gpt2"]);
    let words =
        ["-m", "led,gpt2", "--random-weights", "-p", "8,16", "-n", "6", "-r", "3", "--plot", "p.svg", "--html", "p.html", "-o", "o.json"];
    let got = run(dir.path(), &words);
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    let json: Value = serde_json::from_slice(&std::fs::read(dir.path().join("o.json")).expect("the file")).expect("JSON");
    let results = json["results"].as_array().expect("a list");
    let tests: Vec<&str> = results.iter().map(|r| r["test"].as_str().expect("a name")).collect();
    assert_eq!(tests, ["dec6 @ e8", "dec6 @ e16", "pp8", "pp16", "tg6"]);
    for record in results {
        let tokens: Vec<Vec<f64>> = serde_json::from_value(record["token_ns"].clone()).expect("lists of numbers");
        if let Some(tpot) = record["tpot_avg_ns"].as_f64() {
            let means = tokens.iter().map(|t| t[1..].iter().sum::<f64>() / (t.len() - 1) as f64);
            let mean = means.sum::<f64>() / tokens.len() as f64;
            assert!((tpot - mean).abs() <= 1.0, "{tpot} {mean}");
        }
    }
    let page = std::fs::read_to_string(dir.path().join("p.html")).expect("the page");
    let svg = std::fs::read_to_string(dir.path().join("p.svg")).expect("the plots");
    assert!(page.contains("<svg") && page.contains("dec6 @ e16") && svg.starts_with("<svg"));
}
