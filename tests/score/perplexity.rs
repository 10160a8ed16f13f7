//! Perplexity through the command line.

use crate::support::{json, prints, refuses};
use serde_json::Value;
use std::path::Path;

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
