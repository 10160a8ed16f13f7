//! Perplexities against transformers and lm-evaluation-harness (fixtures/text/expected/perplexity.json, made by fixtures/text/perplexity.py).

use effattn::checkpoint::{Checkpoint, Options as Load};
use effattn::metric::perplexity::{Begin, Condition, Losses, Options, Policy, Ppl, Unit, score_pair, score_text, words};
use effattn::metric::{Metric, Score, sums};
use effattn::model::Source;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

const RTOL: f64 = 1e-5;

#[derive(Deserialize)]
struct Expected {
    spaces: Vec<u32>,
    words: Vec<(String, usize)>,
    documents: Vec<Document>,
    harness: Vec<Harness>,
    given_source: BTreeMap<String, GivenSource>,
}

#[derive(Deserialize)]
struct Document {
    name: String,
    text: String,
    tokens: Vec<u32>,
    sliding: Vec<Sliding>,
    rolling: Vec<Rolling>,
}

#[derive(Deserialize)]
struct Sliding {
    context: usize,
    stride: usize,
    first: Option<u32>,
    losses: Vec<f64>,
    perplexity: Option<f64>,
    standard_error: Option<f64>,
    hf: Hf,
}

#[derive(Deserialize)]
struct Hf {
    nll: Option<f64>,
    tokens: f64,
    perplexity: Option<f64>,
}

#[derive(Deserialize)]
struct Rolling {
    context: usize,
    loglikelihood: f64,
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Harness {
    context: usize,
    words: Vec<f64>,
    bytes: Vec<f64>,
    word_perplexity: f64,
    byte_perplexity: f64,
    bits_per_byte: f64,
}

#[derive(Deserialize)]
struct GivenSource {
    pairs: Vec<Pair>,
    batch_loss: f64,
}

#[derive(Deserialize)]
struct Pair {
    source: String,
    target: String,
    tokens: Vec<u32>,
    labels: Vec<u32>,
    loss: f64,
    losses: Vec<f64>,
}

fn expected() -> Expected {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/text/expected/perplexity.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture exists")).expect("it is JSON of this shape")
}

fn open(case: &str) -> Checkpoint {
    Checkpoint::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(case), &Load::default()).expect("the case loads")
}

/// The largest relative difference seen, and a failure beyond the tolerance.
#[derive(Default)]
struct Worst(f64);

impl Worst {
    fn close(&mut self, got: f64, want: f64, what: &str) {
        let rel = (got - want).abs() / want.abs();
        assert!(rel <= RTOL, "{what}: {got} instead of {want}, off by {rel:.1e}");
        self.0 = self.0.max(rel);
    }

    fn all(&mut self, got: &[f64], want: &[f64], what: &str) {
        assert_eq!(got.len(), want.len(), "{what}: as many tokens");
        got.iter().zip(want).enumerate().for_each(|(i, (g, w))| self.close(*g, *w, &format!("{what}, token {i}")));
    }
}

fn begin(first: Option<u32>) -> Begin {
    first.map_or(Begin::None, Begin::First)
}

/// The perplexity of documents by what `condition` says, or nothing where no token was predicted.
fn perplexity(condition: Condition, hf_weighting: bool, documents: &[(&Losses, &str)]) -> Option<Score> {
    let metric = Ppl::new("m".into(), condition, Unit::Segment, hf_weighting).expect("they go together");
    let rows: Vec<f64> = documents.iter().flat_map(|(losses, text)| metric.row(losses, text)).collect();
    metric.check(&rows).ok()?;
    Some(metric.score(0, &sums(&rows, metric.width()), documents.len()))
}

fn field(score: &Score, key: &str) -> Option<f64> {
    score.fields.iter().find(|f| f.0 == key).expect("a field").1.as_f64()
}

#[test]
fn sliding_windows_of_transformers() {
    let model = open("gpt2-text").model;
    let (mut losses, mut rates, mut undefined) = (Worst::default(), Worst::default(), 0);
    for document in expected().documents {
        for want in &document.sliding {
            let what = format!("{}, context {}, stride {}, first {:?}", document.name, want.context, want.stride, want.first);
            let policy = Some(Policy::Sliding { stride: Some(want.stride) });
            let options = Options { policy, context: Some(want.context), begin: begin(want.first) };
            let got = score_text(&*model, &document.tokens, &options).expect("the text is scored");
            losses.all(&got.nll, &want.losses, &what);
            assert_eq!(got.unscored, document.tokens.len() - want.losses.len(), "{what}");
            let hf = got.hf.expect("sliding windows have it");
            let condition = Condition::Before(options.plan(model.info()).expect("a plan"), options.begin);
            let found = perplexity(condition, false, &[(&got, &document.text)]);
            let (Some(found), Some(expected)) = (&found, want.perplexity) else {
                assert!(found.is_none() && want.perplexity.is_none(), "{what}: nothing was predicted");
                continue;
            };
            rates.close(found.value, expected, &what);
            match (field(found, "standard_error"), want.standard_error) {
                (Some(got), Some(want)) => rates.close(got, want, &format!("standard error of {what}")),
                (got, want) => assert_eq!(got, want, "standard error of {what}"),
            }
            // where a window predicts nothing, the loop of transformers adds a mean of no numbers; that window is left out here
            let Some(nll) = want.hf.nll else {
                undefined += 1;
                assert!(hf.nll.is_finite(), "{what}");
                continue;
            };
            assert_eq!(hf.tokens, want.hf.tokens, "{what}");
            if nll > 0.0 {
                rates.close(hf.nll, nll, &format!("weighted sum of {what}"));
            }
            if options.begin == Begin::None {
                match (perplexity(condition, true, &[(&got, &document.text)]), want.hf.perplexity) {
                    (Some(got), Some(want)) => rates.close(got.value, want, &format!("weighted perplexity of {what}")),
                    (got, want) => assert_eq!(got.map(|s| s.value), want, "{what}"),
                }
            }
        }
    }
    assert!(undefined > 0, "a window of a single token is among the cases");
    println!("sliding: losses within {:.1e}, perplexities within {:.1e}", losses.0, rates.0);
}

#[test]
fn rolling_windows_of_the_harness() {
    let model = open("gpt2-text").model;
    let expected = expected();
    let (mut losses, mut rates) = (Worst::default(), Worst::default());
    for (i, want) in expected.harness.iter().enumerate() {
        let mut scored = Vec::new();
        let mut condition = None;
        for (d, document) in expected.documents.iter().enumerate() {
            let rolling = &document.rolling[i];
            assert_eq!(rolling.context, want.context);
            let what = format!("{}, context {}", document.name, rolling.context);
            let options = Options { policy: Some(Policy::Rolling), context: Some(rolling.context), begin: Begin::First(0) };
            let got = score_text(&*model, &document.tokens, &options).expect("the text is scored");
            losses.all(&got.nll, &rolling.losses, &what);
            assert_eq!((got.unscored, got.hf), (0, None), "{what}");
            condition = Some(Condition::Before(options.plan(model.info()).expect("a plan"), options.begin));
            let one = perplexity(condition.expect("just set"), false, &[(&got, &document.text)]).expect("tokens were predicted");
            rates.close(-field(&one, "nll").expect("a sum"), rolling.loglikelihood, &what);
            let counts = ["tokens", "words", "bytes"].map(|key| field(&one, key).expect("a count"));
            assert_eq!(counts, [document.tokens.len() as f64, want.words[d], want.bytes[d]], "{what}");
            scored.push(got);
        }
        let documents: Vec<(&Losses, &str)> = scored.iter().zip(expected.documents.iter().map(|d| d.text.as_str())).collect();
        let found = perplexity(condition.expect("there are documents"), false, &documents).expect("tokens were predicted");
        for (key, want) in
            [("word_perplexity", want.word_perplexity), ("byte_perplexity", want.byte_perplexity), ("bits_per_byte", want.bits_per_byte)]
        {
            rates.close(field(&found, key).expect("a number"), want, key);
        }
    }
    println!("rolling: losses within {:.1e}, sums and perplexities within {:.1e}", losses.0, rates.0);
}

#[test]
fn targets_given_a_source() {
    for (case, want) in expected().given_source {
        let checkpoint = open(&case);
        let tokenizer = checkpoint.tokenizer.as_ref().expect("a text case has a tokenizer");
        let ids = |text: &str| tokenizer.encode(text, true).expect("text encodes").get_ids().to_vec();
        let (mut losses, mut rates, mut scored) = (Worst::default(), Worst::default(), Vec::new());
        for pair in &want.pairs {
            let what = format!("{case}: {}", pair.target);
            assert_eq!((ids(&pair.source), ids(&pair.target)), (pair.tokens.clone(), pair.labels.clone()), "{what}");
            let got = score_pair(&*checkpoint.model, &Source::new(vec![pair.tokens.clone()]), &pair.labels).expect("the pair is scored");
            losses.all(&got.nll, &pair.losses, &what);
            let one = perplexity(Condition::Source, false, &[(&got, &pair.target)]).expect("labels were predicted");
            rates.close(one.value, pair.loss.exp(), &what);
            scored.push(got);
        }
        let documents: Vec<(&Losses, &str)> = scored.iter().zip(want.pairs.iter().map(|p| p.target.as_str())).collect();
        let together = perplexity(Condition::Source, false, &documents).expect("labels were predicted");
        rates.close(together.value, want.batch_loss.exp(), &format!("{case}: padded batch"));
        println!("{case}: losses within {:.1e}, perplexities within {:.1e}", losses.0, rates.0);
    }
}

#[test]
fn memory_carried_through_a_text_changes_nothing_but_the_number_of_calls() {
    let model = open("gpt2-text").model;
    let document = &expected().documents[0];
    let tokens = &document.tokens[..128];
    for begin in [Begin::None, Begin::First(0)] {
        let score = |policy, context, tokens: &[u32]| {
            score_text(&*model, tokens, &Options { policy: Some(policy), context, begin }).expect("the text is scored").nll
        };
        // one window; it reads 127 tokens and needs no position for the last
        let whole = score(Policy::Sliding { stride: None }, None, &tokens[..127]);
        for segment in [1, 5, 64, 126, 127, 128] {
            assert_eq!(score(Policy::Carried, Some(segment), &tokens[..127]), whole, "segments of {segment}");
        }
    }
    let options = Options { policy: Some(Policy::Carried), context: None, begin: Begin::First(0) };
    assert_eq!(score_text(&*model, tokens, &options).expect("128 positions are enough").nll.len(), 128);
    let long = score_text(&*model, &document.tokens[..129], &options).expect_err("no position for the 129th input");
    assert_eq!(long.message(), "a text of 129 tokens, but `gpt2` has 128 positions: its memory cannot be carried on");
}

#[test]
fn white_space_is_pythons() {
    let expected = expected();
    let spaces: Vec<u32> = (0..=u32::from(char::MAX)).filter(|&c| char::from_u32(c).is_some_and(|c| words(&c.to_string()) == 2)).collect();
    assert_eq!(spaces, expected.spaces);
    for (text, n) in expected.words {
        assert_eq!(words(&text), n, "{text:?}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_names_the_limit() {
    let (gpt2, led) = (open("gpt2-text").model, open("led-text").model);
    let source = |n: usize| Source::new(vec![vec![5; n]]);
    let text = |tokens: &[u32], policy, context, begin| score_text(&*gpt2, tokens, &Options { policy, context, begin }).unwrap_err();
    let sliding = |stride| Some(Policy::Sliding { stride: Some(stride) });
    for (error, message, hint) in [
        (
            score_pair(&*led, &source(4), &[5; 33]).unwrap_err(),
            "the target has 33 tokens, `led` has 32 positions for it",
            "shorten the target",
        ),
        (
            score_pair(&*led, &source(129), &[5; 3]).unwrap_err(),
            "the source has 129 tokens, `led` has 128 positions for it",
            "shorten the source",
        ),
        (score_pair(&*led, &source(4), &[330]).unwrap_err(), "token id 330 is outside of the vocabulary of 330 tokens", "tokenizer"),
        (score_pair(&*gpt2, &source(4), &[5; 3]).unwrap_err(), "`gpt2` is decoder-only", "without a source"),
        (
            score_text(&*led, &[5], &Options { policy: None, context: None, begin: Begin::None }).unwrap_err(),
            "`led` is an encoder",
            "source",
        ),
        (text(&[5, 330], None, None, Begin::None), "token id 330 is outside of the vocabulary of 330 tokens", "tokenizer"),
        (text(&[], None, Some(129), Begin::None), "a context of 129 tokens, but `gpt2` has 128 positions", "128 at most"),
        (text(&[], None, Some(1), Begin::None), "a context of 1 leaves no token to predict another from", "2 at least"),
        (text(&[], sliding(17), Some(16), Begin::None), "a stride of 17 with a context of 16", "1 to 16"),
        (text(&[], sliding(0), Some(16), Begin::None), "a stride of 0 with a context of 16", "1 to 16"),
        (text(&[], Some(Policy::Rolling), None, Begin::None), "rolling windows predict every token", "name a first token"),
        (text(&[], Some(Policy::Rolling), Some(0), Begin::First(0)), "rolling windows of 0 tokens", "1 to"),
        (text(&[], Some(Policy::Carried), Some(0), Begin::First(0)), "segments of 0 tokens", "1 at least"),
    ] {
        assert!(error.message().starts_with(message), "{error}");
        assert!(error.remedy().is_some_and(|r| r.contains(hint)), "{error}: {:?}", error.remedy());
    }
}
