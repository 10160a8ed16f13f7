//! Models of trax read a start token before anything else, in every command, and draw as trax draws.

use effattn::checkpoint::{Checkpoint, Options};
use effattn::model::{Model, Source};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const LM: &str = r#"{"model_type": "scaling_transformer", "is_encoder_decoder": false, "vocab_size": V, "d_model": 24, "d_ff": 60, "n_layers": 2,
    "n_heads": 3, "max_len": 200, "attention": {"type": "mult_conv", "sparsity": 6}, "ff_sparsity": [5, 7],
    "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#;
const PAIR: &str = r#"{"model_type": "scaling_transformer", "is_encoder_decoder": true, "vocab_size": V, "d_model": 24, "d_ff": 60, "n_encoder_layers": 1,
    "n_decoder_layers": 2, "n_heads": 3, "max_len": 200, "loss_sparsity": 4, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#;
const REFORMER: &str = r#"{"model_type": "trax_reformer_lm", "vocab_size": V, "d_model": 24, "d_ff": 40, "n_layers": 2, "n_heads": 3, "d_head": 10,
    "max_len": 200, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#;

/// A directory as `effattn convert` leaves it, but for the weights.
fn model(config: &str, vocabulary: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("config.json"), config.replace('V', &vocabulary.to_string())).expect("a file");
    let generation = r#"{"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#;
    std::fs::write(dir.path().join("generation_config.json"), generation).expect("a file");
    dir
}

fn effattn(dir: &Path, words: &[&str]) -> Output {
    let out = Command::new(env!("CARGO_BIN_EXE_effattn")).args(words).current_dir(dir).output().expect("the binary runs");
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    out
}

fn weights(dir: &Path, seed: u64) -> Checkpoint {
    Checkpoint::open(dir, &Options { random_weights: Some(seed), ..Options::default() }).expect("it loads")
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().map(|l| f64::from(l - most).exp()).sum::<f64>().ln();
    logits.iter().map(|l| f64::from(l - most) - sum).collect()
}

/// `autoregressive_sample` of trax:trax/supervised/decoding.py with `logsoftmax_sample` of trax:trax/layers/core.py: argmax(log p + T g),
/// g = −log(−log u). The u are those that the program draws.
fn sampled(model: &dyn Model, document: &[u32], temperature: f64, seed: u64, most: usize) -> Vec<u32> {
    let row = if model.info().encoder_decoder { document.to_vec() } else { [&[0], document].concat() };
    let (mut state, mut last) = model.encode(&Source::new(vec![row])).expect("it is read");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Vec::new();
    while out.len() < most && out.last() != Some(&1) {
        let logits = model.step(&last, &mut state).expect("a step").flatten_all().expect("flat").to_vec1::<f32>().expect("numbers");
        let mut best = (f64::NEG_INFINITY, 0);
        for (token, logp) in log_softmax(&logits).into_iter().enumerate() {
            let noise = if temperature > 0.0 {
                let u = ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                -(-u.ln()).ln()
            } else {
                0.0
            };
            if logp + temperature * noise > best.0 {
                best = (logp + temperature * noise, token as u32);
            }
        }
        out.push(best.1);
        last = vec![best.1];
    }
    out
}

#[test]
fn texts_are_those_of_traxs_loop() {
    for config in [LM, REFORMER, PAIR] {
        let dir = model(config, 64);
        let own = weights(dir.path(), 3);
        std::fs::write(dir.path().join("d.jsonl"), "{\"text\": \"5 9 33\"}\n{\"text\": \"0 5 9 33\"}\n{\"text\": \"60\"}\n")
            .expect("a file");
        let mut drawn = Vec::new();
        for (temperature, words) in [(0.5, &["--do-sample", "--temperature", "0.5", "--top-k", "0"][..]), (0.0, &["--temperature", "0"])] {
            let common =
                ["decode", "-m", ".", "d.jsonl", "--ids", "--random-weights", "--seed", "3", "--max-new-tokens", "12", "-f", "jsonl"];
            let out = effattn(dir.path(), &[&common[..], words].concat());
            let records: Vec<Value> =
                String::from_utf8_lossy(&out.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
            let paired = own.model.info().encoder_decoder;
            // a start token that the document has already is not put there again
            let second: &[u32] = if paired { &[0, 5, 9, 33] } else { &[5, 9, 33] };
            for (record, document) in records.iter().zip([&[5, 9, 33][..], second, &[60]]) {
                let seed = record["seed"].as_u64().unwrap_or_default();
                let ids: Vec<String> = sampled(&*own.model, document, temperature, seed, 12).iter().map(u32::to_string).collect();
                assert_eq!(record["summary_text"], ids.join(" "), "{config}");
                assert_eq!(record["n_input_tokens"].as_u64(), Some(document.len() as u64 + u64::from(!paired)));
                drawn.push(ids);
            }
        }
        assert_ne!(drawn[..3], drawn[3..], "drawn, not the likeliest");
    }
}

#[test]
fn perplexity_expects_the_first_token_after_the_start() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gpt2-text");
    let config: Value = serde_json::from_slice(&std::fs::read(fixture.join("config.json")).expect("a config")).expect("JSON");
    let dir = model(LM, config["vocab_size"].as_u64().expect("a size") as usize);
    std::fs::copy(fixture.join("tokenizer.json"), dir.path().join("tokenizer.json")).expect("a copy");
    let text = "the tide gauge was read by hand";
    std::fs::write(dir.path().join("t.jsonl"), format!("{{\"prediction\": \"{text}\"}}\n")).expect("a file");
    let words = ["score", "-i", "t.jsonl", "-m", "ppl", "--model", ".", "--random-weights", "-f", "json"];
    let score: Value = serde_json::from_slice(&effattn(dir.path(), &words).stdout).expect("JSON");
    let signature = score["signature"].as_str().expect("a signature");
    let seed: u64 = signature.split("[random ").nth(1).and_then(|s| s.split(']').next()).expect("a seed").parse().expect("a number");
    let own = weights(dir.path(), seed);
    let ids = own.tokenizer.as_ref().expect("a tokenizer").encode(text, false).expect("tokens").get_ids().to_vec();
    let (mut state, _) = own.model.encode(&Source::new(vec![vec![0]])).expect("it is read");
    let read = [&[0], &ids[..ids.len() - 1]].concat();
    let logits = own.model.score(&[read], &mut state).expect("logits").squeeze(0).expect("a row").to_vec2::<f32>().expect("numbers");
    let nll: f64 = logits.iter().zip(&ids).map(|(l, id)| -log_softmax(l)[*id as usize]).sum();
    let got = score["nll"].as_f64().expect("a number");
    assert!((got / nll - 1.0).abs() < 1e-6, "{got} instead of {nll}");
    assert_eq!((score["tokens"].as_f64(), score["unpredicted_tokens"].as_f64()), (Some(ids.len() as f64), Some(0.0)));
    assert!(signature.contains("bos:first"), "{signature}");
}
