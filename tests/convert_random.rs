//! `effattn convert --from random`: what it writes is what `--random-weights` makes up, and every architecture loads it.

use effattn::checkpoint::{Checkpoint, Options};
use effattn::weights::Store;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const CASES: [&str; 4] = ["bart-plain", "gpt2-plain", "led-windows", "pegasus-plain"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn made(dir: &Path, config: &Path, more: &[&str]) -> Output {
    let words = ["convert", "--from", "random", "--config", config.to_str().expect("UTF-8"), "-o", "out", "--seed", "7"];
    Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).args(more).current_dir(dir).output().expect("the binary runs")
}

#[test]
fn every_architecture_loads_it_with_the_numbers_of_random_weights() {
    for name in CASES {
        for config in [fixture(name), fixture(name).join("config.json")] {
            let dir = tempfile::tempdir().expect("a directory");
            let got = made(dir.path(), &config, &[]);
            assert_eq!(got.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&got.stderr));
            let out = dir.path().join("out");
            let loaded = Checkpoint::open(&out, &Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let drawn = Checkpoint::open(&fixture(name), &Options { random_weights: Some(7), ..Options::default() }).expect("it loads");
            assert_eq!(loaded.store.parameters(), drawn.store.parameters(), "{name}");
            let (stored, drawn, names) =
                (Arc::new(Store::open(&out).expect("it opens")), Arc::new(Store::random(7)), drawn.store.asked_for());
            assert!(names.len() > 10, "{name}");
            // what is stored as inputs by outputs is drawn in the file's order, and made up in the model's
            for asked in names.iter().filter(|a| a.shape.len() < 2 || a.shape.last() == Some(&a.inputs)) {
                let numbers = |store: &Arc<Store>| store.root().get(&asked.name, &asked.shape).expect("numbers");
                assert!(numbers(&stored) == numbers(&drawn), "{name}: `{}`", asked.name);
            }
        }
    }
}

#[test]
fn bf16_is_half_as_large_and_a_disk_that_is_too_small_is_told_before() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(made(dir.path(), &fixture("gpt2-plain"), &["--dtype", "bf16"]).status.code(), Some(0));
    let store = Store::open(&dir.path().join("out")).expect("it opens");
    assert_eq!(store.bytes(), 2 * store.parameters());
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("gpt2-plain").join("config.json")).expect("the fixture")).expect("JSON");
    (config["vocab_size"], config["n_embd"]) = ((1u64 << 24).into(), (3u64 << 15).into());
    let path = dir.path().join("large.json");
    std::fs::write(&path, config.to_string()).expect("written");
    let got = made(dir.path(), &path, &["--force"]);
    assert_eq!(got.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&got.stderr).contains("free"), "{}", String::from_utf8_lossy(&got.stderr));
}
