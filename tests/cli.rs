//! The binary from outside: what it prints where, and how it ends. Here: everything that needs no model.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run_in(dir: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_effattn"))
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // a process that refuses its arguments may be gone before it reads
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    child.wait_with_output().expect("the binary ends")
}

/// Nothing on standard output, exactly `stderr` on standard error, and the exit code.
fn refuses(files: &[(&str, &[u8])], words: &[&str], code: i32, stderr: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("a file");
    }
    let got = run_in(dir.path(), words, b"");
    assert_eq!(String::from_utf8_lossy(&got.stderr), stderr, "{words:?}");
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(code), &b""[..]), "{words:?}");
    let left = std::fs::read_dir(dir.path()).expect("the directory").count();
    assert_eq!(left, files.len(), "{words:?} left something behind");
}

#[test]
fn inputs_that_are_not_there() {
    refuses(
        &[],
        &["decode", "no.txt"],
        1,
        "error: cannot read `no.txt`: no such file or directory\nhint: check the path; `-` reads standard input\n",
    );
    refuses(&[], &["decode", "."], 1, "error: `.` is a directory\nhint: name the files in it, for instance `./*.txt`\n");
    refuses(&[], &["decode", "-", "-"], 2, "error: standard input can be read only once\nhint: give `-` once\n");
    refuses(
        &[("t.csv", b"a,b\n1,2\n")],
        &["decode", "t.csv", "--text-column", "body"],
        1,
        "error: `t.csv`: no column `body`\nhint: name the document's column with `--text-column`; there is `a`, `b`\n",
    );
}

#[test]
fn outputs_that_cannot_be() {
    let text: &[(&str, &[u8])] = &[("a.txt", b"a")];
    refuses(text, &["decode", "a.txt", "-o", "."], 1, "error: cannot write `.`: it is a directory\nhint: name a file in it\n");
    refuses(
        text,
        &["decode", "a.txt", "-o", "no/o.jsonl"],
        1,
        "error: cannot write `no/o.jsonl`: there is no directory `no`\nhint: make it first, or write elsewhere\n",
    );
    refuses(
        &[("a.txt", b"a"), ("o.jsonl.partial", b"{}\n"), ("o.jsonl.partial.settings", b"{}")],
        &["decode", "a.txt", "-o", "o.jsonl"],
        1,
        "error: `o.jsonl.partial` is left from an interrupted run\nhint: go on with `--resume`, or remove it to start again\n",
    );
}

#[test]
fn what_cannot_go_together() {
    let cases: &[(&[&str], &str)] = &[
        (&["--resume"], "error: `--resume` needs a file to go on with\nhint: name it with `-o FILE`\n"),
        (&["--resume", "-o", "o.txt"], "error: `--resume` needs JSONL, text does not say which documents are done\nhint: add `-f jsonl`\n"),
        (&["--stream", "-f", "jsonl"], "error: `--stream` prints text, not JSONL\nhint: leave out `--stream` or `-f jsonl`\n"),
        (&["--stream", "-o", "o.txt"], "error: `--stream` prints on standard output\nhint: leave out `--stream` or `-o`\n"),
        (&["--stream", "--batch-size", "2"], "error: `--stream` decodes one document at a time\nhint: leave out `--batch-size`\n"),
        (&["--keep-columns", "all"], "error: `--keep-columns` needs JSONL, text has no fields\nhint: add `-f jsonl`\n"),
        (
            &["--ids", "--template", "{document}"],
            "error: `--template` makes no sense with `--ids`\nhint: put the template's ids into the document\n",
        ),
        (
            &["--template", "so"],
            "error: `--template` must contain `{document}` once, not 0 times\nhint: for instance `--template '{document}\\nTL;DR:'`\n",
        ),
        (&["--random-weights"], "error: `--random-weights` needs a configuration\nhint: name its directory with `--model DIR`\n"),
    ];
    for (words, stderr) in cases {
        refuses(&[("a.txt", b"a")], &[&["decode", "a.txt"], *words].concat(), 2, stderr);
    }
}

#[test]
fn the_parser_refuses_with_2() {
    let dir = tempfile::tempdir().expect("a directory");
    for words in [
        &["decode", "--num-beams", "x"][..],
        &["decode", "--batch-size", "0"],
        &["decode", "--threads", "0"],
        &["decode", "--early-stopping", "maybe"],
        &["decode", "--dtype", "f8"],
        &["decode", "--no-such"],
        &["sing"],
        &[],
    ] {
        let got = run_in(dir.path(), words, b"");
        assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(2), &b""[..]), "{words:?}");
    }
}

#[test]
fn help_and_version_are_results() {
    let dir = tempfile::tempdir().expect("a directory");
    let got = run_in(dir.path(), &["--version"], b"");
    assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(0), concat!("effattn ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()));
    for command in ["decode", "inspect", "list", "verify"] {
        let got = run_in(dir.path(), &[command, "--help"], b"");
        assert_eq!((got.status.code(), got.stderr.as_slice()), (Some(0), &b""[..]));
    }
}
