//! What sacreBLEU prints for the same files, and the stored numbers of the tools for every option.

use crate::support::{FILES, HYP, as_ours, json, prints, run_with};
use serde_json::Value;
use std::path::Path;

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
    let runs = [
        ("bs", 1000, None, &["--paired-bs"][..]),
        ("ar", 2000, None, &["--paired-ar", "--paired-ar-n", "2000"]),
        // the interval of all but the baseline goes on with the generator that tossed the coins
        ("ar", 100, Some(200), &["--paired-ar", "--paired-ar-n", "100", "--confidence", "--confidence-n", "200", "--seed", "5"]),
        ("ar", 101, Some(200), &["--paired-ar", "--paired-ar-n", "101", "--confidence", "--confidence-n", "200", "--seed", "5"]),
    ];
    for (test, trials, confidence, flags) in runs {
        let got = json(&files, &[&common[..], &["--use-stemmer", "-f", "json", "-q"], flags].concat());
        for (title, name) in columns {
            let fits = |c: &&Value| {
                c["test"] == test && c["trials"] == trials && c["confidence"].as_u64() == confidence && !c["results"][name].is_null()
            };
            // ROUGE has no tool that resamples it beside the coins
            let Some(want) = stored.iter().find(fits) else {
                assert!(confidence.is_some() && title.starts_with("ROUGE"), "{test}, {title}: nothing stored");
                continue;
            };
            for (system, want) in want["results"][name].as_array().expect("systems").iter().enumerate() {
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
    let alone = stored.iter().find(|c| c["test"] == "single").expect("a stored run");
    for (i, system) in ["baseline.jsonl", "near.jsonl", "far.jsonl"].iter().enumerate() {
        let words = ["references.jsonl", "-i", system, "-m", "bleu,chrf,ter", "--confidence", "--confidence-n", "500"];
        let got = json(&files, &[&words[..], &["-f", "json", "-w", "17", "-q"]].concat());
        for (score, title) in ["BLEU", "chrF2", "TER"].iter().enumerate() {
            for (place, key) in [(0, "score"), (2, "confidence_mean"), (3, "confidence_var")] {
                let (got, want) = (&got[score][key], &alone["results"][title][i][place]);
                let off = (got.as_f64().expect("a number") - want.as_f64().expect("a number")).abs();
                assert!(off < 1e-12, "{system}, {title}: {key} {got} and not {want}");
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
