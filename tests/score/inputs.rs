//! What comes in and goes out, and what is refused.

use crate::support::{FILES, HYP, json, prints, refuses, run_with};

#[test]
fn records_of_decode_are_joined_by_id() {
    let out: &[u8] = b"{\"id\":\"x\",\"summary_text\":\"a cat sat\",\"finish_reason\":\"stop\",\"error\":null}\n\
        {\"id\":\"y\",\"summary_text\":\"a dog\",\"finish_reason\":\"stop\",\"error\":null}\n";
    let refs: &[u8] =
        b"{\"id\":\"y\",\"document\":\"\",\"summary\":\"a dog\"}\n{\"id\":\"x\",\"document\":\"\",\"summary\":[\"a cat sat\",\"no\"]}\n";
    let files = [("out.jsonl", out), ("refs.jsonl", refs)];
    let got = prints(&files, &["refs.jsonl", "-i", "out.jsonl", "-m", "rouge1,rougeLsum", "-b", "-w", "2"]);
    assert_eq!(got, "100.00\n100.00\n");
    let got = prints(&files, &["refs.jsonl", "-i", "out.jsonl", "-m", "bleu"]);
    assert!(got.starts_with("BLEU|nrefs:var|"), "{got}");
    let got = prints(&files, &["refs.jsonl", "-i", "out.jsonl", "-m", "rouge1", "--sentence-level", "-f", "jsonl"]);
    assert!(got.starts_with("{\"id\":\"x\",\"ROUGE-1\":{\"score\":100.0,"), "{got}");
    refuses(
        &[("out.jsonl", out), ("refs.jsonl", &refs[..refs.iter().position(|b| *b == b'\n').expect("a line") + 1])],
        &["refs.jsonl", "-i", "out.jsonl"],
        1,
        "error: `out.jsonl:1`: id `x` is not in `refs.jsonl`\n\
         hint: records are joined by their ids: decode what is missing, or drop the ids of one file to join line by line\n",
    );
}

#[test]
fn files_that_do_not_fit() {
    let lines = "hint: segments are joined line by line; if the last of `r.txt` is empty, it needs its line end too\n";
    refuses(
        &[("r.txt", b"a\nb\n"), ("h.txt", b"a\nb\nc\n")],
        &["r.txt", "-i", "h.txt"],
        1,
        &format!("error: `h.txt` has 3 segments, `r.txt` 2\n{lines}"),
    );
    refuses(
        &[("r.txt", b"a\n"), ("h.txt", b"")],
        &["r.txt", "-i", "h.txt"],
        1,
        "error: `h.txt` is empty\nhint: each file needs at least one segment\n",
    );
    refuses(
        &[("r.txt", b"a\nb\n"), ("h.txt", b"a\ncaf\xe9\n")],
        &["r.txt", "-i", "h.txt"],
        1,
        "error: `h.txt:2`: invalid UTF-8 (byte 0xe9 at offset 3 of the line)\nhint: convert it first, for instance `iconv -f latin1 -t utf-8 FILE`\n",
    );
    refuses(
        &[("r.csv", b"id,text\n1,a\n"), ("h.txt", b"a\n")],
        &["r.csv", "-i", "h.txt", "--ref-column", "summary"],
        1,
        "error: `r.csv:1`: no column `summary`\nhint: name the reference's column with `--ref-column`; there is `id`, `text`\n",
    );
}

#[test]
fn what_cannot_go_together() {
    for (words, error) in [
        (&["-m", "bleu", "chrf"][..], "`chrf` is a metric, not a file\nhint: separate metrics by commas: `-m …,chrf`"),
        (&["-m", "bleu,BLEU"], "the metric `bleu` stands twice\nhint: leave out `BLEU`"),
        (&["--paired-bs"], "paired tests need several systems\nhint: name them with `-i A B`, the baseline first"),
        (
            &["--sentence-level", "--confidence"],
            "`--sentence-level` scores segments one by one, nothing can be resampled\nhint: leave out one of them",
        ),
        (
            &["-m", "bleu", "--weights", "0.5,0.5"],
            "`--weights` belongs to bleu with `--definition strabel`, which nobody asked for\n\
             hint: leave it out, or name the metric with `-m`; asked for: bleu",
        ),
        (
            &["-m", "chrf,rouge1", "--lowercase"],
            "`--lowercase` belongs to bleu, which nobody asked for\n\
             hint: leave it out, or name the metric with `-m`; asked for: chrf,rouge1",
        ),
        (
            &["-m", "rouge1,rougeL", "--split-summaries"],
            "`--split-summaries` belongs to rougeLsum, which nobody asked for\n\
             hint: leave it out, or name the metric with `-m`; asked for: rouge1,rougeL",
        ),
        (
            &["--stride", "7"],
            "`--stride` belongs to ppl, which nobody asked for\n\
             hint: leave it out, or name the metric with `-m`; asked for: bleu,rouge1,rouge2,rougeL,rougeLsum",
        ),
        (&["--smooth-value", "-1"], "`--smooth-method exp` takes no value\nhint: leave out `--smooth-value`, or smooth by floor or add-k"),
        (&["-b", "-f", "json"], "`--score-only` prints text\nhint: leave out `-f` or `-b`"),
        (&["--confidence-n", "50"], "`--confidence-n` belongs to `--confidence`\nhint: add it, or leave both out"),
        (
            &["other.txt", "--confidence", "--confidence-n", "50"],
            "the intervals of several systems are those of the paired bootstrap\nhint: set its resamples with `--paired-bs-n`",
        ),
        (
            &["other.txt", "--sentence-level"],
            "lines of text do not say which system a segment is of\nhint: add `-f csv`, `-f jsonl`, `-f json` or `-f markdown`",
        ),
        (&["-m", "ppl"], "perplexity needs no references\nhint: leave out `a.txt`, or name it with `-i`"),
        (
            &["-m", "ter", "--definition", "strabel"],
            "`--definition strabel` knows no `ter`\nhint: it defines bleu and rouge1 … rouge9: name them with `-m`",
        ),
    ] {
        refuses(FILES, &[&["a.txt", "-i", "hyp.txt"], words].concat(), 2, &format!("error: {error}\n"));
    }
    let left: Vec<(&str, &[u8])> =
        FILES.iter().copied().chain([("o.jsonl.partial", &b"{}\n"[..]), ("o.jsonl.partial.settings", b"{}")]).collect();
    refuses(
        &left,
        &["a.txt", "-i", "hyp.txt", "-o", "o.jsonl"],
        1,
        "error: `o.jsonl.partial` is left from an interrupted run\nhint: go on with `--resume`, or remove it to start again\n",
    );
    let one: &[(&str, &[u8])] = &[("h.txt", b"a\n"), ("r.txt", b"a\n")];
    let message = "error: one segment cannot be resampled\nhint: leave out the intervals and tests, or give more segments\n";
    refuses(one, &["r.txt", "-i", "h.txt", "--confidence"], 1, message);
}

#[test]
fn texts_that_rouge_cannot_see_get_a_warning() {
    let files: &[(&str, &[u8])] = &[("h.txt", "γεια σου\nok\n".as_bytes()), ("r.txt", "γεια σου\nok\n".as_bytes())];
    let (got, _) = run_with(files, &["r.txt", "-i", "h.txt", "-m", "rouge1", "-b"], b"", None);
    let said = String::from_utf8_lossy(&got.stderr);
    assert_eq!(said.matches("warning: 1 of 2 segments").count(), 2, "{said}");
    assert_eq!(got.stdout, b"50.0\n");
    assert_eq!(prints(files, &["r.txt", "-i", "h.txt", "-m", "rouge1", "-b", "--unicode"]), "100.0\n");
    assert_eq!(prints(files, &["r.txt", "-i", "h.txt", "-m", "rouge1", "-b", "-q"]), "50.0\n");
}

#[test]
fn standard_input_output_files_and_explanations() {
    let (got, _) = run_with(FILES, &["a.txt", "b.txt", "-m", "bleu", "-b", "-w", "4"], HYP, None);
    assert_eq!(got.stdout, b"58.4268\n");
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("o.md");
    let path = out.to_str().expect("a plain name");
    assert_eq!(prints(FILES, &["a.txt", "-i", "hyp.txt", "-f", "markdown", "-m", "bleu,rouge2", "-o", path]), "");
    let page = std::fs::read_to_string(&out).expect("the file");
    assert!(page.starts_with("| metric | system | score |\n|---|---|--:|\n| BLEU | hyp.txt | 41.0 |\n"), "{page}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1);
    let told = prints(FILES, &["a.txt", "-i", "hyp.txt", "-m", "bleu,rouge1,ter", "--explain"]);
    assert!(told.contains("\nBLEU: equals `sacrebleu") && told.contains("\nROUGE-1: ") && told.contains("\nTER: "), "{told}");
}

#[test]
fn strabels_definitions_say_where_they_depart() {
    let told = prints(FILES, &["a.txt", "b.txt", "-i", "hyp.txt", "-m", "bleu,rouge1,rouge2", "--definition", "strabel"]);
    assert_eq!(told.matches("departs from the standard").count(), 2, "{told}");
    assert!(told.contains("refs:sum") && told.contains("equation 6"), "{told}");
    let got = json(FILES, &["a.txt", "-i", "hyp.txt", "-m", "rouge1", "--definition", "strabel", "-f", "json"]);
    assert!(got["departures"].as_array().is_some_and(|d| d.len() == 6) && got["score"].as_f64().is_some_and(|s| s < 1.0));
}

/// Two million lines.
#[test]
fn two_million_lines() {
    let lines = "boats at night\n".repeat(2_000_000);
    let got = prints(&[("h.txt", lines.as_bytes()), ("r.txt", lines.as_bytes())], &["r.txt", "-i", "h.txt", "-m", "rouge1,ter", "-b"]);
    assert_eq!(got, "100.0\n0.0\n");
}
