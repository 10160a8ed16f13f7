//! `effattn score` from outside: what sacreBLEU 2.6.0 prints for the same files, and what happens to files that do not fit.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HYP: &[u8] = b"the cat sat on the mat .\nthere is a cat on the mat\n\
It is a guide to action which ensures that the military always obeys the commands of the party\nshort\n";
const OTHER: &[u8] = b"the cat is on a mat .\na cat on the mat\n\
It is a guide to action that makes sure the military obeys the party\na short one\n";
const A: &[u8] = b"the cat is on the mat .\na cat is on the mat\n\
It is a guide to action that ensures that the military will forever heed Party commands\na short one\n";
const B: &[u8] = b"there is a cat on the mat .\nthere is a cat on the mat today\n\
It is the guiding principle which guarantees the military forces always being under the command of the Party\nshort\n";
const FILES: &[(&str, &[u8])] = &[("hyp.txt", HYP), ("other.txt", OTHER), ("a.txt", A), ("b.txt", B)];

fn run_with(files: &[(&str, &[u8])], words: &[&str], input: &[u8], seed: Option<&str>) -> (Output, usize) {
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
fn prints(files: &[(&str, &[u8])], words: &[&str]) -> String {
    let (got, _) = run_with(files, words, b"", None);
    assert_eq!((String::from_utf8_lossy(&got.stderr).as_ref(), got.status.code()), ("", Some(0)), "{words:?}");
    String::from_utf8(got.stdout).expect("text")
}

fn json(files: &[(&str, &[u8])], words: &[&str]) -> Value {
    serde_json::from_str(&prints(files, words)).expect("JSON")
}

fn refuses(files: &[(&str, &[u8])], words: &[&str], code: i32, stderr: &str) {
    let (got, left) = run_with(files, words, b"", None);
    assert_eq!(String::from_utf8_lossy(&got.stderr), stderr, "{words:?}");
    assert_eq!((got.status.code(), got.stdout.as_slice(), left), (Some(code), &b""[..], files.len()), "{words:?}");
}

/// sacreBLEU's line, with this program's version and without the blanks that align it.
fn as_ours(line: &str) -> String {
    line.trim_start().replace("version:2.6.0", concat!("version:effattn-", env!("CARGO_PKG_VERSION")))
}

#[test]
fn lines_are_sacrebleus() {
    let want = "
        BLEU|nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0 = 58.4268 90.9/65.5/50.0/39.1 (BP = 1.000 ratio = 1.031 hyp_len = 33 ref_len = 32)
      chrF2|nrefs:2|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0 = 67.5155
TER|nrefs:2|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0 = 26.8657
        BLEU|nrefs:2|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0 = 58.4268 (μ = 60.9280 ± 26.6739) 90.9/65.5/50.0/39.1 (BP = 1.000 ratio = 1.031 hyp_len = 33 ref_len = 32)
      chrF2|nrefs:2|bs:1000|seed:12345|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0 = 67.5155 (μ = 69.4327 ± 9.4248)
TER|nrefs:2|bs:1000|seed:12345|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0 = 26.8657 (μ = 24.4540 ± 15.1194)";
    let plain = prints(FILES, &["a.txt", "b.txt", "-i", "hyp.txt", "-m", "bleu,chrf,ter", "-w", "4"]);
    let sure = prints(FILES, &["a.txt", "b.txt", "-i", "hyp.txt", "-m", "bleu,chrf,ter", "-w", "4", "--confidence"]);
    let got: Vec<&str> = plain.lines().chain(sure.lines()).map(str::trim_start).collect();
    assert_eq!(got, want.trim().lines().map(as_ours).collect::<Vec<_>>());
    let at: Vec<usize> = plain.lines().map(|l| l.find(" = ").expect("a score")).collect();
    assert!(at.iter().all(|x| *x == at[0]), "aligned");
}

#[test]
fn sentences_are_sacrebleus() {
    let want = "\
BLEU|nrefs:2|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0 = 48.9 85.7/66.7/40.0/25.0 (BP = 1.000 ratio = 1.000 hyp_len = 7 ref_len = 7)
BLEU|nrefs:2|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0 = 100.0 100.0/100.0/100.0/100.0 (BP = 1.000 ratio = 1.167 hyp_len = 7 ref_len = 6)
BLEU|nrefs:2|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0 = 46.6 88.9/52.9/37.5/26.7 (BP = 1.000 ratio = 1.000 hyp_len = 18 ref_len = 18)
BLEU|nrefs:2|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0 = 100.0 100.0/0.0/0.0/0.0 (BP = 1.000 ratio = 1.000 hyp_len = 1 ref_len = 1)";
    let got = prints(FILES, &["a.txt", "b.txt", "-i", "hyp.txt", "-m", "bleu", "--sentence-level"]);
    assert_eq!(got.lines().collect::<Vec<_>>(), want.lines().map(as_ours).collect::<Vec<_>>());
    let csv = prints(FILES, &["a.txt", "-i", "hyp.txt", "other.txt", "-m", "ter,rouge1", "--sentence-level", "-f", "csv"]);
    assert_eq!(csv.lines().next(), Some("system,segment,TER,ROUGE-1"));
    assert_eq!(csv.lines().count(), 9);
}

#[test]
fn the_table_of_several_systems_has_sacrebleus_p_values() {
    let want = " metric   system        score         μ        95 %          Δ   p
 ──────────────────────────────────────────────────────────────────────
 BLEU     hyp.txt     41.0181   38.1660   ± 10.3976
          other.txt   45.3510   44.5211    ± 9.6665    +4.3329   0.1259
 chrF2    hyp.txt     61.9154   60.9836    ± 6.3799
          other.txt   57.1430   60.2276   ± 15.9134    -4.7724   0.1119
 TER ↓    hyp.txt     37.5000   37.1619   ± 15.5833
          other.txt   25.0000   22.9335   ± 14.2593   -12.5000   0.0709
";
    let words = ["a.txt", "-i", "hyp.txt", "other.txt", "-m", "bleu,chrf,ter", "-w", "4"];
    let got = prints(FILES, &words);
    assert!(got.starts_with(want), "{got}");
    assert!(got.contains("paired bootstrap") && got.contains("1000 resamples"), "{got}");
    assert_eq!(prints(FILES, &[&words[..], &["--paired-bs"]].concat()), got);
    let copy: Vec<(&str, &[u8])> = FILES.iter().copied().chain([("copy.txt", HYP)]).collect();
    let got = prints(&copy, &["a.txt", "-i", "hyp.txt", "copy.txt", "-m", "bleu"]);
    assert!(got.contains("+0.0   0.0010\n"), "the least p-value, as sacreBLEU's, and no star: {got}");
    let got = json(FILES, &[&words[..], &["--paired-ar", "-f", "json"]].concat());
    let p = ["BLEU", "chrF2", "TER"].map(|m| format!("{:.4}", got[1][m]["p_value"].as_f64().expect("a p-value")));
    assert_eq!(p, ["0.2491", "0.6268", "0.0001"]);
    assert!(got[0]["BLEU"]["p_value"].is_null() && got[0]["BLEU"]["mean"].is_null());
}

/// Every score of three systems on 420 records, with interval and p-value, in one call: as stored from sacreBLEU, numpy and rouge_score.
#[test]
fn many_scores_of_many_systems() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/text");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a fixture");
    let stored: Vec<Value> = serde_json::from_str(&read("expected/significance.json")).expect("JSON");
    let ids: Vec<&str> = stored[0]["ids"].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id")).collect();
    let segments: Vec<Value> = read("segments.jsonl").lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let reference = |id: &&str| segments.iter().find(|s| s["id"] == **id).expect("the segment")["references"][0].clone();
    let record = |id: &str, key: &str, text: Value| serde_json::json!({"id": id, key: text}).to_string() + "\n";
    let references: String = ids.iter().rev().map(|id| record(id, "reference", reference(id))).collect();
    let mut files = vec![("references.jsonl".to_owned(), references)];
    for (name, texts) in stored[0]["systems"].as_object().expect("systems") {
        let texts = texts.as_array().expect("texts");
        let lines = ids.iter().zip(texts).map(|(id, text)| record(id, "hypothesis", text.clone())).collect();
        files.push((format!("{name}.jsonl"), lines));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let common = ["references.jsonl", "-i", "baseline.jsonl", "near.jsonl", "far.jsonl", "-m", "rouge2,bleu,rougeL,ter,rouge1,chrf"];
    let columns =
        [("BLEU", "BLEU"), ("chrF2", "chrF2"), ("TER", "TER"), ("ROUGE-1", "rouge1"), ("ROUGE-2", "rouge2"), ("ROUGE-L", "rougeL")];
    for (test, trials, flags) in [("bs", 1000, &["--paired-bs"][..]), ("ar", 2000, &["--paired-ar", "--paired-ar-n", "2000"])] {
        let got = json(&files, &[&common[..], &["--use-stemmer", "-f", "json", "-q"], flags].concat());
        for (title, name) in columns {
            let fits = |c: &&Value| c["test"] == test && c["trials"] == trials && !c["results"][name].is_null();
            let want = stored.iter().find(fits).expect("a stored run")["results"][name].clone();
            for (system, want) in want.as_array().expect("systems").iter().enumerate() {
                for (i, key) in ["score", "p_value", "mean", "ci"].iter().enumerate() {
                    match (&got[system][title][key], want[i].as_f64()) {
                        (got, Some(want)) => {
                            let got = got.as_f64().unwrap_or_else(|| panic!("{test}, {title} of {system}: no {key}"));
                            assert!((got - want).abs() < 1e-9, "{test}, {title} of {system}: {key} {got} and not {want}");
                        }
                        (got, None) => assert!(got.is_null() || i > 1, "{test}, {title} of {system}: {key} {got}"),
                    }
                }
            }
        }
    }
}

/// The flags that stand for the options of sacreBLEU's classes; `None` where the command line has none.
fn flags(metric: &str, options: &Value) -> Option<Vec<String>> {
    let mut words = vec!["-m".to_owned(), metric.to_owned()];
    for (name, value) in options.as_object().expect("options") {
        let flag = match (metric, name.as_str()) {
            (_, "max_ngram_order") => return None,
            ("bleu", "smooth_method" | "smooth_value" | "tokenize" | "lowercase" | "effective_order") => format!("--{name}"),
            _ => format!("--{metric}-{name}"),
        };
        match value {
            Value::Bool(false) | Value::Null => {}
            Value::Bool(true) => words.push(flag.replace('_', "-")),
            Value::String(text) => words.extend([flag.replace('_', "-"), text.clone()]),
            number => words.extend([flag.replace('_', "-"), number.to_string()]),
        }
    }
    Some(words)
}

/// Every option reaches its metric: the stored scores of all segments, through the command line.
#[test]
fn every_option_of_every_metric() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/text");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a fixture");
    let segments: Vec<Value> = read("segments.jsonl").lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let corpus = |refs: u64| -> String {
        let record = |s: &Value| {
            let references: Vec<&Value> = s["references"].as_array().expect("a list").iter().take(refs as usize).collect();
            serde_json::json!({"hypothesis": s["hypothesis"], "references": references}).to_string() + "\n"
        };
        segments.iter().map(record).collect()
    };
    let corpora = [1, 2, 3].map(corpus);
    let value = |refs: &Value, words: &[String]| -> f64 {
        let refs = refs.as_u64().expect("a number") as usize;
        let words: Vec<&str> = ["-i", "all.jsonl", "--ref-column", "references", "-q", "-f", "json"]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        json(&[("all.jsonl", corpora[refs - 1].as_bytes())], &words)["value"].as_f64().expect("a score")
    };
    let mut runs = 0;
    for metric in ["bleu", "chrf", "ter"] {
        for case in serde_json::from_str::<Vec<Value>>(&read(&format!("expected/{metric}.json"))).expect("JSON") {
            let Some(words) = flags(metric, &case["options"]) else { continue };
            let (got, want) = (value(&case["refs"], &words), case["corpus"].as_f64().expect("a score"));
            assert!((got - want).abs() < 1e-9, "{words:?}: {got} and not {want}");
            runs += 1;
        }
    }
    assert_eq!(runs, 26 + 16 + 16);
    for case in serde_json::from_str::<Vec<Value>>(&read("expected/rouge.json")).expect("JSON") {
        let stem = (case["options"]["use_stemmer"] == true).then(|| "--use-stemmer".to_owned());
        for (name, rows) in case["sentences"].as_object().expect("types") {
            let f: Vec<f64> = rows.as_array().expect("rows").iter().map(|r| r[2].as_f64().expect("F")).collect();
            let want = 100.0 * f.iter().sum::<f64>() / f.len() as f64;
            let words: Vec<String> = ["-m".to_owned(), name.clone()].into_iter().chain(stem.clone()).collect();
            let got = value(&case["refs"], &words);
            assert!((got - want).abs() < 1e-10, "{words:?}: {got} and not {want}");
        }
    }
    let plus = value(&1.into(), &["-m".into(), "chrf++".into()]);
    assert_eq!(plus, value(&1.into(), &["-m", "chrf", "--chrf-word-order", "2"].map(String::from)));
    let rouge =
        |extra: &[&str]| value(&3.into(), &[&["-m", "rougeLsum"], extra].concat().iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    let plain = rouge(&[]);
    for option in [&["--unicode"][..], &["--rouge-references", "average"], &["--split-summaries"]] {
        assert_ne!(rouge(option), plain, "{option:?}");
    }
    let punkt = format!("--split-summaries={}", root.join("punkt").display());
    assert_ne!(rouge(&[&punkt]), rouge(&["--split-summaries"]));
}

#[test]
fn json_has_sacrebleus_keys_first() {
    let got = json(FILES, &["a.txt", "b.txt", "-i", "hyp.txt", "-m", "bleu", "-f", "json", "--confidence"]);
    let keys: Vec<&str> = got.as_object().expect("an object").keys().map(String::as_str).collect();
    let theirs = "name score signature confidence_mean confidence_var confidence verbose_score nrefs bs seed case eff tok smooth version";
    assert_eq!(keys[..15], theirs.split(' ').collect::<Vec<_>>());
    assert_eq!((&got["score"], &got["confidence"]), (&58.4.into(), &"μ = 60.9 ± 26.7".into()));
    assert!((got["value"].as_f64().expect("a number") - 58.42677282361581).abs() < 1e-9);
    assert_eq!(got["counts"], serde_json::json!([30, 19, 13, 9]));
}

#[test]
fn the_seed_is_sacrebleus_variable_unless_given() {
    let words = ["a.txt", "-i", "hyp.txt", "-m", "bleu", "--confidence", "-w", "4"];
    let with = |extra: &[&str], seed: Option<&str>| {
        let (got, _) = run_with(FILES, &[&words[..], extra].concat(), b"", seed);
        String::from_utf8(got.stdout).expect("text")
    };
    assert_eq!(with(&[], None), with(&["--seed", "12345"], Some("7")));
    assert_eq!(with(&["--seed", "7"], None), with(&[], Some("7")));
    assert_ne!(with(&[], None), with(&[], Some("7")));
    assert!(with(&[], Some("7")).contains("|seed:7|"));
    let (got, _) = run_with(FILES, &words, b"", Some("x"));
    assert_eq!(got.status.code(), Some(2));
    let (got, _) = run_with(FILES, &words, b"", Some("None"));
    assert!(String::from_utf8_lossy(&got.stderr).starts_with("seed "), "the drawn seed is said");
}

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

/// Records of texts for a model: columns have the names of references, several files are several systems, and a resample without a single
/// token is left out.
#[test]
fn texts_for_a_model() {
    let gpt2 = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gpt2-text");
    let gpt2 = ["-m", "ppl", "--model", gpt2.to_str().expect("a plain name")];
    let records = |texts: &[&str]| texts.iter().map(|t| serde_json::json!({"text": t}).to_string() + "\n").collect::<String>();
    let (a, b) = (records(&["", "", "", "the harbour"]), records(&["", "", "", "a gauge at night"]));
    let files: &[(&str, &[u8])] = &[("a.jsonl", a.as_bytes()), ("b.jsonl", b.as_bytes())];
    let got = json(files, &[&gpt2[..], &["a.jsonl", "b.jsonl", "--paired-bs", "-f", "json"]].concat());
    let other = &got[1]["PPL"];
    // every sample with a token has the score itself: nothing varies, and a zero gap is no more than the observed one
    let number = |key: &str| other[key].as_f64().expect("a number");
    assert!((number("mean") - number("score")).abs() < 1e-9 && number("ci") < 1e-9, "{other}");
    assert!(other["p_value"].as_f64().is_some_and(|p| p > 0.0) && other["quantiles"]["low"].is_number(), "{other}");
    let one = json(files, &[&gpt2[..], &["a.jsonl", "-f", "json"]].concat());
    assert!(one["signature"].as_str().is_some_and(|s| s.contains("|unit:segment|") && !s.contains("nrefs")), "{one}");
    let random = json(files, &[&gpt2[..], &["a.jsonl", "-f", "json", "--random-weights", "--seed", "5"]].concat());
    assert_eq!(random["model"], "gpt2-text[random 5]");
    refuses(
        files,
        &[&gpt2[..], &["a.jsonl", "--ref-column", "body"]].concat(),
        1,
        "error: `a.jsonl:1`: no column `body`\nhint: name the text's column with `--ref-column`; there is `text`\n",
    );
}

/// The perplexity that transformers gives: see `tests/perplexity.rs` for all of them.
#[test]
fn perplexity_of_the_stored_models() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let stored: Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("text/expected/perplexity.json")).expect("the fixture")).expect("JSON");
    let gpt2 = root.join("gpt2-text");
    let gpt2 = gpt2.to_str().expect("a plain name");
    let document = &stored["documents"][0];
    let text = document["text"].as_str().expect("a text").as_bytes();
    for want in document["sliding"].as_array().expect("a list").iter().filter(|w| w["first"].is_null() && w["perplexity"].is_number()) {
        let [context, stride] = ["context", "stride"].map(|key| want[key].to_string());
        let words = ["-m", "ppl", "--model", gpt2, "d.txt", "--bos", "none", "--context", &context, "--stride", &stride, "-f", "json"];
        let got = json(&[("d.txt", text)], &words);
        let (got, want) = (got["value"].as_f64().expect("a number"), want["perplexity"].as_f64().expect("a number"));
        assert!((got / want - 1.0).abs() < 1e-5, "context {context}, stride {stride}: {got} and not {want}");
    }
    let led = root.join("led-text");
    let pairs = stored["given_source"]["led-text"]["pairs"].as_array().expect("a list");
    let records: String =
        pairs.iter().map(|p| serde_json::json!({"document": p["source"], "summary": p["target"]}).to_string() + "\n").collect();
    let words =
        ["-m", "ppl", "--model", led.to_str().expect("a plain name"), "r.jsonl", "--source-column", "document", "--ref-column", "summary"];
    let got = prints(&[("r.jsonl", records.as_bytes())], &[&words[..], &["--sentence-level", "-f", "jsonl"]].concat());
    assert_eq!(got.lines().count(), pairs.len());
    for (line, pair) in got.lines().zip(pairs) {
        let got: Value = serde_json::from_str(line).expect("JSON");
        let (got, want) = (got["PPL"]["score"].as_f64().expect("a number"), pair["loss"].as_f64().expect("a number").exp());
        assert!((got / want - 1.0).abs() < 1e-5, "{got} and not {want}");
    }
    refuses(
        &[("d.txt", text)],
        &["-m", "ppl", "--model", led.to_str().expect("a plain name"), "d.txt"],
        2,
        "error: `led` is an encoder-decoder: it expects a text only given a source\n\
         hint: name the documents with `--source FILE` or `--source-column NAME`, or a decoder-only model with `--model DIR`\n",
    );
}
