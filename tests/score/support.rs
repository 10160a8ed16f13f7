//! Files whose scores are known, and the binary run on them.

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

pub const HYP: &[u8] = b"the cat sat on the mat .\nthere is a cat on the mat\n\
It is a guide to action which ensures that the military always obeys the commands of the party\nshort\n";
pub const OTHER: &[u8] = b"the cat is on a mat .\na cat on the mat\n\
It is a guide to action that makes sure the military obeys the party\na short one\n";
pub const A: &[u8] = b"the cat is on the mat .\na cat is on the mat\n\
It is a guide to action that ensures that the military will forever heed Party commands\na short one\n";
pub const B: &[u8] = b"there is a cat on the mat .\nthere is a cat on the mat today\n\
It is the guiding principle which guarantees the military forces always being under the command of the Party\nshort\n";
pub const FILES: &[(&str, &[u8])] = &[("hyp.txt", HYP), ("other.txt", OTHER), ("a.txt", A), ("b.txt", B)];

pub fn run_with(files: &[(&str, &[u8])], words: &[&str], input: &[u8], seed: Option<&str>) -> (Output, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_effattn"));
    command.arg("score").args(words).current_dir(dir.path()).env_remove("SACREBLEU_SEED");
    if let Some(seed) = seed {
        command.env("SACREBLEU_SEED", seed);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    let got = child.wait_with_output().expect("the binary ends");
    (got, std::fs::read_dir(dir.path()).expect("the directory").count())
}

/// Standard output of a run that succeeds and says nothing else.
pub fn prints(files: &[(&str, &[u8])], words: &[&str]) -> String {
    let (got, _) = run_with(files, words, b"", None);
    assert_eq!((String::from_utf8_lossy(&got.stderr).as_ref(), got.status.code()), ("", Some(0)), "{words:?}");
    String::from_utf8(got.stdout).expect("text")
}

pub fn json(files: &[(&str, &[u8])], words: &[&str]) -> Value {
    serde_json::from_str(&prints(files, words)).expect("JSON")
}

pub fn refuses(files: &[(&str, &[u8])], words: &[&str], code: i32, stderr: &str) {
    let (got, left) = run_with(files, words, b"", None);
    assert_eq!(String::from_utf8_lossy(&got.stderr), stderr, "{words:?}");
    assert_eq!((got.status.code(), got.stdout.as_slice(), left), (Some(code), &b""[..], files.len()), "{words:?}");
}

/// sacreBLEU's line, with this program's version and without the blanks that align it.
pub fn as_ours(line: &str) -> String {
    line.trim_start().replace("version:2.6.0", concat!("version:effattn-", env!("CARGO_PKG_VERSION")))
}
