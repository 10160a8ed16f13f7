//! Perplexity through the command line.

use crate::support::{json, prints, refuses, run_with};
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

/// A model without a limit, of bytes, with made-up weights.
const ENDLESS: &[u8] = br#"{"model_type": "effattn_lm", "vocab_size": 258, "d_model": 24, "n_layers": 2, "n_heads": 3, "d_ff": 40,
    "mixer": {"name": "softmax"}, "bos_token_id": 256}"#;
const RANDOM: [&str; 8] = ["-m", "ppl", "--model", ".", "--random-weights", "--seed", "3", "-f"];

/// tokenizer.json by this program's own training.
fn tokenizer(words: &[&str], text: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("text.txt"), text).expect("written");
    let words = [&["tokenizer", "train", "-q", "-o", "t.json"], words].concat();
    let got = std::process::Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir.path()).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&got.stderr), "");
    std::fs::read(dir.path().join("t.json")).expect("a tokenizer")
}

/// Memory is carried by models without a limit and wherever it is asked for; how much is read at once changes nothing, windows do.
#[test]
fn memory_is_carried_through_a_document_and_no_further() {
    let bytes = tokenizer(&["--level", "bytes", "--special", "<bos>,<pad>"], b"");
    let text: String = (0..300).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    let files: &[(&str, &[u8])] = &[
        ("config.json", ENDLESS),
        ("tokenizer.json", &bytes),
        ("a.txt", text.as_bytes()),
        ("ab.txt", &[text.as_bytes(), b"again"].concat()),
    ];
    let run = |words: &[&str]| json(files, &[&RANDOM[..], &["json"], words].concat());
    let carried = run(&["a.txt"]);
    assert!(carried["signature"].as_str().is_some_and(|s| s.contains("|ctx:carried|segment:512|bos:first|")), "{carried}");
    assert_eq!(
        (carried["tokens"].as_f64(), carried["bytes"].as_f64(), carried["unknown_tokens"].as_f64()),
        (Some(300.0), Some(300.0), Some(0.0))
    );
    for words in [
        &["--segment", "7"][..],
        &["--carry"],
        &["--context", "64"],
        &["--carry", "--segment", "1"],
        &["--context", "400", "--stride", "400"],
    ] {
        assert_eq!(run(&[&["a.txt"], words].concat())["nll"], carried["nll"], "{words:?}");
    }
    assert_ne!(run(&["a.txt", "--context", "16", "--stride", "16"])["nll"], carried["nll"]);
    // one number in two notations, and bits that are the same for a byte and its token
    let number = |key: &str| carried[key].as_f64().expect("a number");
    assert!((number("bits_per_token").exp2() / number("token_perplexity") - 1.0).abs() < 1e-12);
    assert_eq!(carried["bits_per_token"], carried["bits_per_byte"]);
    // documents are apart: the second begins anew
    let lines: &[u8] = format!("{text}\n{text}\n").as_bytes().to_vec().leak();
    let files: &[(&str, &[u8])] = &[("config.json", ENDLESS), ("tokenizer.json", &bytes), ("two.txt", lines)];
    let apart = prints(files, &[&RANDOM[..], &["jsonl", "two.txt", "--sentence-level"]].concat());
    let nll: Vec<Value> = apart.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")["PPL"]["nll"].clone()).collect();
    assert_eq!(nll, [carried["nll"].clone(), carried["nll"].clone()]);
}

#[test]
fn how_the_model_is_loaded_is_in_the_signature() {
    let bytes = tokenizer(&["--level", "bytes", "--special", "<bos>,<pad>"], b"");
    let remembers = br#"{"model_type": "effattn_lm", "vocab_size": 258, "d_model": 24, "n_layers": 1, "n_heads": 3, "d_ff": 40,
        "mixer": {"name": "transformer_xl", "memory": 5}, "bos_token_id": 256}"#;
    let files: &[(&str, &[u8])] = &[("config.json", remembers), ("tokenizer.json", &bytes), ("a.txt", b"some text")];
    let signature = |words: &[&str]| {
        let got = json(files, &[&RANDOM[..], &["json", "a.txt"], words].concat());
        got["signature"].as_str().expect("text").split_once("|norm:token|").expect("a signature").1.to_owned()
    };
    let version = concat!("version:effattn-", env!("CARGO_PKG_VERSION"));
    assert_eq!(signature(&[]), format!("dtype:f32|{version}"));
    assert_eq!(signature(&["--dtype", "bf16", "--kv-dtype", "bf16"]), format!("dtype:bf16|kv:bf16|{version}"));
    // this model type has no quirks
    assert_eq!(signature(&["--reference-quirks"]), format!("dtype:f32|{version}"));
    assert_eq!(signature(&["--init-mem", "zeros"]), format!("dtype:f32|init_mem:zeros|{version}"));
}

#[test]
fn unknown_words_are_counted_and_warned_of() {
    let words = tokenizer(&["--level", "word", "--vocab-size", "6", "--special", "<eos>", "text.txt"], b"the tide the gauge the tide");
    let config = br#"{"model_type": "effattn_lm", "vocab_size": 6, "d_model": 24, "n_layers": 1, "n_heads": 3, "mixer": {"name": "softmax"}, "eos_token_id": 1}"#;
    let files: &[(&str, &[u8])] =
        &[("config.json", config), ("tokenizer.json", &words), ("a.txt", b"the harbour tide, the <unk> gauge"), ("b.txt", b"the tide")];
    let run = |words: &[&str]| {
        let got = run_with(files, &[&RANDOM[..], &["json"], words].concat(), b"", None).0;
        let value: Value = serde_json::from_slice(&got.stdout).expect("JSON");
        (value, String::from_utf8(got.stderr).expect("UTF-8"))
    };
    let (got, said) = run(&["a.txt"]);
    // `harbour`, the comma, and the one that is spelled out
    assert_eq!((got["unknown_tokens"].as_f64(), got["tokens"].as_f64()), (Some(3.0), Some(7.0)));
    assert!(got["verbose_score"].as_str().is_some_and(|s| s.ends_with(" unknown = 3)")), "{got}");
    assert_eq!(
        said,
        "warning: 3 of 7 tokens are `<unk>`: text that the tokenizer does not know is predicted for nothing; no perplexity, and no bits per byte, \
         can be compared with a tokenizer that knows it\n"
    );
    assert_eq!(run(&["a.txt", "-q"]).1, "");
    let (got, said) = run(&["b.txt"]);
    assert_eq!((got["unknown_tokens"].as_f64(), said.as_str()), (Some(0.0), ""));
}

#[test]
fn options_of_perplexity_that_do_not_go_together() {
    for words in [&["--carry", "--stride", "4"][..], &["--segment", "4", "--context", "8"], &["--carry", "--rolling"], &["--segment", "0"]]
    {
        let (got, _) = run_with(&[], &[&["-m", "ppl", "a.txt"], words].concat(), b"", None);
        assert_eq!((got.status.code(), got.stdout.len()), (Some(2), 0), "{words:?}");
    }
    refuses(
        &[("a.txt", b"a")],
        &["a.txt", "-i", "a.txt", "--carry"],
        2,
        "error: `--carry` belongs to ppl, which nobody asked for\n\
         hint: leave it out, or name the metric with `-m`; asked for: bleu,rouge1,rouge2,rougeL,rougeLsum\n",
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

/// Words, and a begin and an end that the tokenizer puts around a text.
const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": null,
    "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
    "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "the": 4, "harbour": 5, "at": 6, "night": 7}}}"#;

/// Each token hidden in turn, summed up by hand; the tokenizer's own tokens are read and not scored.
#[test]
fn pseudo_perplexity_of_a_model_that_reads_from_both_sides() {
    let config = r#"{"model_type": "linformer_roberta", "vocab_size": 10, "encoder_embed_dim": 24, "encoder_layers": 2, "encoder_attention_heads": 3,
        "encoder_ffn_embed_dim": 40, "max_positions": 12, "compressed": 3, "mask_token_id": 9, "bos_token_id": 0, "eos_token_id": 2}"#;
    let files = |config: &str| [("config.json", config.as_bytes().to_vec()), ("tokenizer.json", TOKENIZER.as_bytes().to_vec())];
    let texts = b"the harbour at night\nnight at the\n";
    let long = "the harbour ".repeat(6);
    type Check<'a> = &'a dyn Fn(&[(&str, &[u8])], &[&str]);
    let with = |config: &str, text: &[u8], words: &[&str], check: Check| {
        let own = files(config);
        let files: Vec<(&str, &[u8])> = own.iter().map(|(name, bytes)| (*name, &bytes[..])).chain([("t.txt", text)]).collect();
        check(&files, &[&["-m", "ppl", "--model", ".", "--random-weights", "--seed", "5", "t.txt"], words].concat());
    };
    let parsed: Value = serde_json::from_str(config).expect("JSON");
    let arch = effattn::arch::find(&parsed).expect("it is there");
    let model = (arch.load)(&parsed, &std::sync::Arc::new(effattn::weights::Store::random(5)).root()).expect("it loads").model;
    let by_hand = |text: &[u32]| -> Vec<f64> {
        let loss = |i: usize| {
            let mut hidden = text.to_vec();
            hidden[i] = 9;
            let logits =
                model.fill(&effattn::model::Source::new(vec![hidden])).expect("it reads").remove(0).to_vec2::<f32>().expect("a matrix");
            let row: Vec<f64> = logits[i].iter().map(|x| f64::from(*x)).collect();
            row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[text[i] as usize]
        };
        (1..text.len() - 1).map(loss).collect()
    };
    let all = [by_hand(&[0, 4, 5, 6, 7, 2]), by_hand(&[0, 7, 6, 4, 2])].concat();
    let want = (all.iter().sum::<f64>() / all.len() as f64).exp();
    with(config, b"the harbour at night\n", &["-f", "json"], &|files, words| {
        let lines = json(files, words);
        assert!(lines["signature"].as_str().is_some_and(|s| s.contains("|cond:masked|")), "{lines}");
    });
    with(config, texts, &["--sentence-level", "-f", "jsonl"], &|files, words| {
        let nll: f64 = (prints(files, words).lines())
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["PPL"]["nll"].as_f64().expect("a number"))
            .sum();
        assert!(((nll / all.len() as f64).exp() / want - 1.0).abs() < 1e-6, "{nll} {want}");
    });
    let named = config.replace("\"mask_token_id\": 9, ", "");
    with(&named, texts, &[], &|files, words| {
        let (got, _) = crate::support::run_with(files, words, b"", None);
        let said = String::from_utf8_lossy(&got.stderr);
        assert!(said.contains("names no mask token") && said.contains("hint: put `mask_token_id` into config.json"), "{said}");
    });
    with(config, long.as_bytes(), &[], &|files, words| {
        let (got, _) = crate::support::run_with(files, words, b"", None);
        let said = String::from_utf8_lossy(&got.stderr);
        assert!(said.contains("a text of 14 tokens, but `linformer_roberta` has 12 positions"), "{said}");
    });
    with(config, texts, &["--context", "8"], &|files, words| {
        let (got, _) = crate::support::run_with(files, words, b"", None);
        let said = String::from_utf8_lossy(&got.stderr);
        assert!(
            got.status.code() == Some(2) && said.contains("`linformer_roberta` reads from both sides: a text is scored whole"),
            "{said}"
        );
    });
}
