//! What lies in the cache is found there, and what lies there in part is not taken for the whole.

use super::server::{COMMIT, Home, etag, files};
use super::{INSPECT, fine};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes a pipe that nobody writes to.
fn pipe(at: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success());
}

/// Puts a fixture into the cache by hand, as huggingface_hub would.
fn cached(home: &Home, revision: &str, fixture: &str) {
    let (blobs, snapshot) = (home.repository().join("blobs"), home.snapshot());
    let reference = home.repository().join("refs").join(revision);
    for dir in [&blobs, &snapshot, &reference.parent().unwrap().to_owned()] {
        std::fs::create_dir_all(dir).unwrap();
    }
    std::fs::write(reference, COMMIT).unwrap();
    for (name, bytes) in files(fixture) {
        std::fs::write(blobs.join(etag(&name)), bytes).unwrap();
        symlink(Path::new("../../blobs").join(etag(&name)), snapshot.join(name)).unwrap();
    }
}

#[test]
fn a_name_is_found_in_the_cache() {
    let home = Home::new();
    cached(&home, "main", "bart-text");
    let ran = home.run(&INSPECT, &[]);
    fine(&ran);
    assert!(ran.out.starts_with("org/tiny\n") && ran.err.is_empty(), "{ran:?}");
    fine(&home.run(&["inspect", "-m", &format!("org/tiny@{COMMIT}")], &[("HF_HUB_OFFLINE", "1")]));
    fine(&home.run(&["inspect", "-m", "org/tiny", "--revision", COMMIT], &[]));
    fine(&home.run(&["inspect", "-m", "org/tiny", "--revision", &COMMIT.to_uppercase()], &[]));
    let hub = home.dir.path().join("home/hub");
    let elsewhere = home.run(&INSPECT, &[("HF_HUB_CACHE", hub.to_str().unwrap()), ("HF_HOME", "/nowhere")]);
    fine(&elsewhere);
    home.run(&INSPECT, &[("HF_HUB_CACHE", "/nowhere")])
        .says(1, &["`org/tiny`", "not in the Hugging Face cache `/nowhere`", "`--download`"]);
    home.run(&[&INSPECT[..], &["--revision", "v3"]].concat(), &[]).says(1, &["has no revision `v3`; there is `main`", "`--download`"]);
    home.run(&["inspect", "-m", "org/other"], &[("HF_HUB_OFFLINE", "1")]).says(1, &["`org/other`", "HF_HUB_OFFLINE is set"]);
    home.run(&["inspect", "-m", "org/other"], &[("TRANSFORMERS_OFFLINE", "1")]).says(1, &["`org/other`", "TRANSFORMERS_OFFLINE is set"]);
    home.run(&["inspect", "-m", "org/other", "--download"], &[("TRANSFORMERS_OFFLINE", "1")])
        .says(2, &["contradicts TRANSFORMERS_OFFLINE"]);
    let unknown = format!("org/tiny@{}", "f".repeat(40));
    home.run(&["inspect", "-m", &unknown], &[]).says(1, &["has no files of revision `ffff"]);
}

/// Nothing is waited for: what is no file is an error.
#[test]
fn what_is_no_file_is_told() {
    let not = "a pipe, a socket or a device, not a file";
    let home = Home::new();
    cached(&home, "main", "bart-text");
    let reference = home.repository().join("refs/main");
    std::fs::remove_file(&reference).unwrap();
    pipe(&reference);
    home.run(&INSPECT, &[]).says(1, &["`org/tiny`", "refs/main: ", not]);
    std::fs::remove_file(&reference).unwrap();
    symlink("main", &reference).unwrap();
    home.run(&INSPECT, &[]).says(1, &["`org/tiny`", "refs/main: ", "check the file's permissions"]);
    let home = Home::new();
    cached(&home, "main", "bart-text");
    for (file, made) in [("config.json", not), ("model.safetensors", "a directory, not a file")] {
        let at = home.snapshot().join(file);
        std::fs::remove_file(&at).unwrap();
        if made == not {
            pipe(&at)
        } else {
            std::fs::create_dir(&at).unwrap()
        }
        for model in ["org/tiny", home.snapshot().to_str().unwrap()] {
            home.run(&["inspect", "-m", model], &[]).says(1, &[file, made, "hint: "]);
        }
        std::fs::remove_file(&at).or_else(|_| std::fs::remove_dir(&at)).unwrap();
        symlink(Path::new("../../blobs").join(etag(file)), &at).unwrap();
    }
    // an index that names no file
    std::fs::remove_file(home.snapshot().join("model.safetensors")).unwrap();
    std::fs::write(home.snapshot().join("model.safetensors.index.json"), r#"{"weight_map": {"a.b": ""}}"#).unwrap();
    home.run(&INSPECT, &[]).says(1, &["model.safetensors.index.json: `weight_map`: `a.b` names the file \"\"", "hint: "]);
}

#[test]
fn a_branch_with_a_slash_is_found() {
    let home = Home::new();
    cached(&home, "refs/pr/1", "gpt2-text");
    fine(&home.run(&["inspect", "-m", "org/tiny@refs/pr/1"], &[]));
    home.run(&INSPECT, &[]).says(1, &["has no revision `main`; there is `refs/pr/1`"]);
}

#[test]
fn a_directory_goes_before_a_name() {
    let home = Home::new();
    cached(&home, "main", "bart-text");
    let dir = home.dir.path().join("org/tiny");
    std::fs::create_dir_all(&dir).unwrap();
    files("gpt2-text").into_iter().for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes).unwrap());
    let ran = home.run(&INSPECT, &[]);
    assert!(ran.out.starts_with("tiny\n") && ran.out.contains("gpt2"), "{ran:?}");
    home.run(&[&INSPECT[..], &["--revision", "main"]].concat(), &[]).says(2, &["`--revision` is for names, `org/tiny` is a directory"]);
    std::fs::remove_dir_all(dir).unwrap();
    assert!(home.run(&INSPECT, &[]).out.contains("bart"));
}

#[test]
fn what_is_no_name_is_refused() {
    let home = Home::new();
    cached(&home, "main", "bart-text");
    for name in ["../no-such-thing", "a/b/c", "/nowhere", "org/../tiny", "org/tiny/"] {
        home.run(&["inspect", "-m", name, "--download"], &[]).says(1, &[name, "no such directory, and no name of a repository"]);
    }
    for revision in ["../../x", "", "a//b", ".."] {
        home.run(&["inspect", "-m", "org/tiny", "--revision", revision], &[]).says(2, &["is no revision"]);
    }
    home.run(&["inspect", "-m", "org/tiny@a", "--revision", "b"], &[]).says(2, &["`--revision` names `b`"]);
    std::fs::write(home.dir.path().join("file"), "").unwrap();
    home.run(&["inspect", "--download"], &[]).says(2, &["`--download` and `--revision` are for a model that is named"]);
    home.run(&["bench", "--revision", "main"], &[]).says(2, &["`--download` and `--revision` are for a model that is named"]);
    home.run(&["inspect", "-m", "file"], &[]).says(1, &["file: a file, not a directory"]);
}

#[test]
fn a_part_of_a_snapshot_is_not_taken_for_the_whole() {
    for (gone, says) in [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights, neither model.safetensors nor model.safetensors.index.json"),
    ] {
        let home = Home::new();
        cached(&home, "main", "bart-text");
        std::fs::remove_file(home.snapshot().join(gone)).unwrap();
        home.run(&INSPECT, &[]).says(1, &["`org/tiny`", says, "`--download` fetches what is missing"]);
    }
    // made-up weights need none
    let home = Home::new();
    cached(&home, "main", "bart-text");
    std::fs::remove_file(home.snapshot().join("model.safetensors")).unwrap();
    fine(&home.run(&[&INSPECT[..], &["--random-weights"]].concat(), &[]));
    // a link that leads nowhere is not a file that is not needed
    for gone in ["config.json", "model.safetensors", "generation_config.json"] {
        let home = Home::new();
        cached(&home, "main", "bart-text");
        std::fs::remove_file(home.repository().join("blobs").join(etag(gone))).unwrap();
        home.run(&INSPECT, &[]).says(1, &[gone, "leads to a file that is not there", "`--download`"]);
    }
    // unless nobody needs it
    let home = Home::new();
    cached(&home, "main", "bart-text");
    std::fs::remove_file(home.repository().join("blobs").join(etag("tokenizer.json"))).unwrap();
    std::fs::write(home.dir.path().join("doc"), "5 6 7").unwrap();
    let doc = home.dir.path().join("doc");
    let decode = ["decode", "-m", "org/tiny", "--max-new-tokens", "2", doc.to_str().unwrap()];
    fine(&home.run(&[&decode[..], &["--ids"]].concat(), &[]));
    home.run(&decode, &[]).says(1, &["tokenizer.json` leads to a file that is not there", "`--download`", "`--ids`"]);
    // shards that the index names
    let home = Home::new();
    cached(&home, "main", "bart-text");
    std::fs::remove_file(home.snapshot().join("model.safetensors")).unwrap();
    let index = r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    std::fs::write(home.snapshot().join("model.safetensors.index.json"), index).unwrap();
    std::fs::write(home.snapshot().join("model-00001-of-00002.safetensors"), "").unwrap();
    home.run(&INSPECT, &[]).says(1, &["has no model-00002-of-00002.safetensors, which model.safetensors.index.json names"]);
}
