//! `effattn inspect --compare-dtypes`: its figures against those of loops that are written out here.

use effattn::checkpoint::{Checkpoint, Options};
use effattn::kernel::precision::Precision;
use effattn::model::{Model, Source};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn inspect(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effattn")).arg("inspect").args(words).current_dir(dir).output().expect("the binary runs")
}

/// Standard output of a run that succeeds.
fn prints(dir: &Path, words: &[&str]) -> String {
    let got = inspect(dir, words);
    assert_eq!(got.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&got.stderr));
    assert_eq!(String::from_utf8_lossy(&got.stderr), "", "{words:?}");
    String::from_utf8(got.stdout).expect("it is text")
}

fn facts(dir: &Path, words: &[&str]) -> Map<String, Value> {
    let printed = prints(dir, &[words, &["-f", "json"]].concat());
    serde_json::from_str(&printed).expect("JSON")
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// The same number, but for the last bit, which serde_json may lose as it reads.
fn equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= f64::EPSILON * b.abs()
}

/// The logits after each of `inputs`, read behind `source`.
fn logits(model: &dyn Model, source: &[u32], inputs: &[u32]) -> Vec<Vec<f32>> {
    let (mut state, _) = model.encode(&Source::new(vec![source.to_vec()])).expect("it reads");
    model.score(&[inputs.to_vec()], &mut state).expect("it scores").squeeze(0).and_then(|l| l.to_vec2()).expect("logits")
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a vocabulary")
}

/// −ln softmax(row)[target].
fn loss(row: &[f32], target: u32) -> f64 {
    let top = f64::from(row[best(row)]);
    row.iter().map(|&x| (f64::from(x) - top).exp()).sum::<f64>().ln() + top - f64::from(row[target as usize])
}

/// A text that is predicted: what the model reads first, the tokens it reads then, and those that follow them.
struct Text {
    source: Vec<u32>,
    inputs: Vec<u32>,
    labels: Vec<u32>,
}

/// Checks all figures of a comparison over `texts`; `open` loads the model.
fn agrees(found: &Value, texts: &[Text], open: impl Fn(Precision) -> Checkpoint) {
    let all = |precision| -> Vec<Vec<f32>> {
        let checkpoint = open(precision);
        texts.iter().flat_map(|t| logits(&*checkpoint.model, &t.source, &t.inputs)).collect()
    };
    let exact = all(Precision::F32);
    let largest = exact.iter().flatten().fold(0f32, |most, x| most.max(x.abs()));
    let labels: Vec<u32> = texts.iter().flat_map(|t| t.labels.clone()).collect();
    assert_eq!((&found["tokens"], &found["documents"]), (&json!(labels.len()), &json!(texts.len())));
    assert!(equal(number(found, "largest_logit"), f64::from(largest)), "{largest}");
    let results = found["results"].as_array().expect("a list");
    assert_eq!(results.iter().map(|r| r["dtype"].as_str().unwrap()).collect::<Vec<_>>(), ["f32", "bf16", "int8"]);
    let mut first = None;
    for (line, precision) in results.iter().zip(PRECISIONS) {
        let here = all(precision);
        let pairs = || here.iter().zip(&exact);
        let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
        let difference = pairs().flat_map(|(a, b)| a.iter().zip(b).map(apart)).fold(0.0, f64::max);
        let same = pairs().filter(|(a, b)| best(a) == best(b)).count();
        let mean = here.iter().zip(&labels).map(|(row, &l)| loss(row, l)).sum::<f64>() / labels.len() as f64;
        let perplexity = mean.exp();
        let change = 100.0 * (perplexity - *first.get_or_insert(perplexity)) / first.unwrap();
        assert!(equal(number(line, "logit_difference"), difference), "{line}: {difference}");
        assert!(equal(number(line, "same_greedy_share"), same as f64 / labels.len() as f64), "{line}: {same}");
        assert!((number(line, "logit_difference_relative") - difference / f64::from(largest)).abs() < 1e-12, "{line}");
        assert!((number(line, "token_perplexity") / perplexity - 1.0).abs() < 1e-9, "{line}: {perplexity}");
        assert!((number(line, "token_perplexity_change_percent") - change).abs() < 1e-6, "{line}: {change}");
    }
    let [whole, bf16, int8] = [0, 1, 2].map(|i| &results[i]);
    let zeros = ["logit_difference", "logit_difference_relative", "token_perplexity_change_percent"].map(|key| number(whole, key));
    assert_eq!((zeros, number(whole, "same_greedy_share")), ([0.0; 3], 1.0));
    let [bf16, int8] = [bf16, int8].map(|line| number(line, "logit_difference"));
    assert!(0.0 < bf16 && bf16 < int8, "{bf16} and {int8}");
}

/// What the model in the binary writes greedily with the settings of its generation_config.json: no three tokens occur twice.
#[cfg(feature = "embedded-model")]
fn writes(checkpoint: &Checkpoint, source: Vec<u32>) -> Text {
    let (mut state, start) = checkpoint.model.encode(&Source::new(vec![source.clone()])).expect("it reads");
    let mut tokens = start;
    while tokens.len() <= 64 && (tokens.len() == 1 || tokens.last() != Some(&2)) {
        let step = checkpoint.model.step(&tokens[tokens.len() - 1..], &mut state).expect("a step");
        let mut row: Vec<f32> = step.squeeze(0).and_then(|l| l.to_vec1()).expect("logits");
        if let [.., a, b] = tokens[..] {
            tokens.windows(3).filter(|w| w[..2] == [a, b]).for_each(|w| row[w[2] as usize] = f32::NEG_INFINITY);
        }
        tokens.push(best(&row) as u32);
    }
    Text { source, inputs: tokens[..tokens.len() - 1].to_vec(), labels: tokens[1..].to_vec() }
}

#[cfg(feature = "embedded-model")]
#[test]
fn the_model_in_the_binary() {
    let dir = tempfile::tempdir().expect("a directory");
    let documents = ["Rain is expected tonight. The ferry to Sandholm sails an hour late.", "Tallyho counts the lines of log files."];
    let lines: String = documents.iter().chain(&["never read"]).map(|d| format!("{}\n", json!({"document": d}))).collect();
    std::fs::write(dir.path().join("a.jsonl"), lines).expect("written");
    let words = ["--compare-dtypes", "--documents", "a.jsonl", "-n", "2"];
    let mut all = facts(dir.path(), &words);
    let found = all.remove("compare_dtypes").expect("the comparison");
    assert_eq!(all, facts(dir.path(), &[]), "the other facts stay as they are");
    assert_eq!((&found["truncated_documents"], &found["made_up"]), (&json!(0), &json!(false)));

    let open = |precision| Checkpoint::embedded(&Options { weights: Some(precision), ..Options::default() }).expect("the model");
    let exact = open(Precision::F32);
    let ids = |text: &str| exact.tokenizer.as_ref().unwrap().encode(text, true).unwrap().get_ids().to_vec();
    let texts = documents.map(|d| writes(&exact, ids(d)));
    assert!(texts.iter().any(|t| t.labels.len() < 64 && t.labels.last() == Some(&2)), "the end token is among them");
    agrees(&found, &texts, open);

    // every side is a whole number of panels: no padding
    let file = std::fs::read(root("models/led-small/model.safetensors")).expect("the weights");
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    let bytes = |each: usize, output: usize| -> usize {
        let of = |(name, t): (String, safetensors::tensor::TensorView)| match t.shape() {
            [outputs, inputs] if !name.contains("positions") && !name.contains("bias") => outputs * (inputs * each + output),
            shape => shape.iter().product::<usize>() * 4,
        };
        tensors.tensors().into_iter().map(of).sum()
    };
    let held: Vec<&Value> = found["results"].as_array().unwrap().iter().map(|r| &r["weight_bytes"]).collect();
    // int8: a factor and a sum for each output
    assert_eq!(held, [&json!(bytes(4, 0)), &json!(bytes(2, 0)), &json!(bytes(1, 8))]);

    let text = prints(dir.path(), &words);
    let (facts, table) = text.split_once("\n\n").expect("facts, then the table");
    assert_eq!(format!("{facts}\n"), prints(dir.path(), &[]));
    let exact = table.lines().find(|l| l.trim_start().starts_with("f32")).expect("a line of f32");
    let cells: Vec<&str> = exact.split("   ").map(str::trim).filter(|c| !c.is_empty()).collect();
    let perplexity = format!("{:.4}", number(&found["results"][0], "token_perplexity"));
    assert_eq!(cells[2..], ["0", "0", "100.00 %", &perplexity, "0 %"], "{exact}");
    let tokens = found["tokens"].as_u64().unwrap();
    assert!(table.contains(&format!("\n{tokens} tokens that f32 writes greedily for 2 documents, 64 at most for each;")), "{table}");
}

fn gpt2(precision: Precision) -> Checkpoint {
    Checkpoint::open(&root("fixtures/gpt2-text"), &Options { weights: Some(precision), ..Options::default() }).expect("the fixture")
}

#[test]
fn a_decoder_reads_the_documents_themselves_and_says_what_it_leaves_out() {
    let (dir, model) = (tempfile::tempdir().expect("a directory"), root("fixtures/gpt2-text"));
    let documents = ["Three boats left the harbour before dawn. ".repeat(20), "Ice on the lake was 31 cm thick.".to_owned()];
    let lines: String = documents.iter().map(|d| format!("{}\n", json!({"story": d}))).collect();
    std::fs::write(dir.path().join("a.jsonl"), lines).expect("written");
    let words = ["-m", model.to_str().unwrap(), "--compare-dtypes", "--documents", "a.jsonl", "--text-column", "story"];
    let found = facts(dir.path(), &words).remove("compare_dtypes").expect("the comparison");
    let tokenizer = gpt2(Precision::F32).tokenizer.expect("the fixture has one");
    let texts = documents.map(|d| {
        let mut ids = tokenizer.encode(d, true).unwrap().get_ids().to_vec();
        ids.truncate(128);
        Text { source: ids[..1].to_vec(), inputs: ids[..ids.len() - 1].to_vec(), labels: ids[1..].to_vec() }
    });
    assert_eq!((texts[0].labels.len(), texts[1].labels.len() < 127), (127, true));
    agrees(&found, &texts, gpt2);
    assert_eq!((&found["truncated_documents"], &found["made_up"]), (&json!(1), &json!(false)));
    let text = prints(dir.path(), &words);
    assert!(text.contains("\nnote: 1 of 2 documents cut to the 128 tokens that the model reads\n"), "{text}");
}

#[test]
fn an_encoder_says_what_it_leaves_out() {
    let (dir, model) = (tempfile::tempdir().expect("a directory"), root("fixtures/bart-text"));
    std::fs::write(dir.path().join("a.txt"), "Three boats left the harbour before dawn. ".repeat(20)).expect("written");
    let words = ["-m", model.to_str().unwrap(), "--compare-dtypes", "--documents", "a.txt"];
    let found = facts(dir.path(), &words).remove("compare_dtypes").expect("the comparison");
    assert_eq!((&found["documents"], &found["truncated_documents"]), (&json!(1), &json!(1)));
    let text = prints(dir.path(), &words);
    assert!(text.contains("\nnote: 1 of 1 document cut to the 128 tokens that the model reads\n"), "{text}");
}

#[test]
fn made_up_tokens_are_called_so() {
    for (name, tokens) in [("gpt2-plain", true), ("led-text", false)] {
        let model = root("fixtures").join(name);
        let words = ["-m", model.to_str().unwrap(), "--compare-dtypes"];
        let found = facts(&root(""), &words).remove("compare_dtypes").expect("the comparison");
        assert_eq!((&found["documents"], &found["made_up"]), (&json!(2), &json!(true)), "{name}");
        let text = prints(&root(""), &words);
        assert!(text.ends_with("made-up tokens: quality figures say little; name documents with `--documents FILE`\n"), "{text}");
        assert_eq!(text.contains("the first of each predicted from nothing"), tokens, "{text}");
        assert_eq!(found, facts(&root(""), &words)["compare_dtypes"], "they are the same each time");
    }
}

#[test]
fn what_cannot_be_compared() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in [("a.txt", "a b c"), ("empty.jsonl", ""), ("broken.jsonl", "{\"text\":\"a b\"}\n{\"text\":7}\n"), ("x.txt", "x")] {
        std::fs::write(dir.path().join(name), text).expect("written");
    }
    let fixture = |name: &str| root("fixtures").join(name).to_str().unwrap().to_owned();
    let (plain, text) = (fixture("gpt2-plain"), fixture("gpt2-text"));
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["--documents", "a.txt"],
            2,
            "error: `--documents` says what `--compare-dtypes` compares over\nhint: add `--compare-dtypes`, or leave out `--documents`\n",
        ),
        (
            &["-n", "3"],
            2,
            "error: `--limit` says what `--compare-dtypes` compares over\nhint: add `--compare-dtypes`, or leave out `--limit`\n",
        ),
        (&["--compare-dtypes", "-n", "3"], 2, "error: `--limit` needs a file of documents\nhint: name it with `--documents FILE`\n"),
        (
            &["--compare-dtypes", "--dtype", "bf16"],
            2,
            "error: `--compare-dtypes` loads the weights in every type, `--dtype` names one\nhint: leave out one of them\n",
        ),
        (
            &["--compare-dtypes", "--kv-dtype", "bf16"],
            2,
            "error: `--compare-dtypes` compares weights, keys and values stay in f32\nhint: leave out `--kv-dtype`\n",
        ),
        (
            &["--compare-dtypes", "--documents", "a.txt", "-m", &plain],
            1,
            "error: `gpt2-plain` has no tokenizer.json\n\
             hint: put the checkpoint's tokenizer.json beside its config.json, or leave out `--documents`: made-up tokens need none\n",
        ),
        (
            &["--compare-dtypes", "--documents", "no.txt"],
            1,
            "error: cannot read `no.txt`: no such file or directory\nhint: check the path; `-` reads standard input\n",
        ),
        (
            &["--compare-dtypes", "--documents", "empty.jsonl", "-m", &text],
            1,
            "error: there are no documents in `empty.jsonl`\nhint: give a file with at least one\n",
        ),
        (
            &["--compare-dtypes", "--documents", "broken.jsonl", "-m", &text],
            1,
            "error: `broken.jsonl:2`: `text` is a number, not a string\n\
             hint: put the text of the document there, or name another column with `--text-column`; there is `text`\n",
        ),
        (
            &["--compare-dtypes", "--documents", "x.txt", "-m", &text],
            1,
            "error: the documents leave no token to predict\nhint: each needs two tokens at least: give longer ones\n",
        ),
    ];
    for (words, code, stderr) in cases {
        let got = inspect(dir.path(), words);
        assert_eq!(String::from_utf8_lossy(&got.stderr), *stderr, "{words:?}");
        assert_eq!((got.status.code(), got.stdout.as_slice()), (Some(*code), &b""[..]), "{words:?}");
    }
    assert_eq!(inspect(dir.path(), &["--compare-dtypes", "--documents", "a.txt", "-n", "0"]).status.code(), Some(2));
}
