//! Every case of `fixtures/` against the numbers of its reference implementation (`reference.py` beside it made them).
//!
//! Logits, hidden states and scores within 1e-5, sequences exactly. A failure prints the table of `effattn verify`: its first line names
//! the layer where the model departs.

use effattn::arch::Choice;
use effattn::checkpoint::{Checkpoint, Options};
use effattn::command::verify::text;
use effattn::decode::{EarlyStopping, Generation, Overrides, search};
use effattn::kernel::precision::Precision;
use effattn::kernel::simd::{Isa, isa};
use effattn::model::Source;
use effattn::verify::{Finding, Report, verify, verify_layer};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};

const ATOL: f64 = 1e-5;

/// The cases that hold `file`.
fn cases(file: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(root).expect("fixtures exist").map(|d| d.expect("readable").path()).filter(|d| d.join(file).exists()).collect();
    all.sort();
    all
}

/// A path that rounds activations to bf16 too would be another computation than the reference's.
/// What a reference does wrong is done as it does it, and where it has drawn random blocks, they are drawn.
fn options(case: &Path) -> Options {
    let expected = std::fs::read(case.join("expected.safetensors")).unwrap_or_default();
    let drawn = SafeTensors::deserialize(&expected).is_ok_and(|t| t.tensor("random_blocks").is_ok());
    let attention = if drawn { Choice::Paper(0) } else { Choice::Auto };
    Options { weights: Some(Precision::F32), quirks: true, attention, ..Options::default() }
}

fn open(case: &Path) -> Checkpoint {
    Checkpoint::open(case, &options(case)).unwrap_or_else(|e| panic!("{}: {e}", case.display()))
}

/// What the reference says of a case, compared: of a model, or of a layer alone.
fn compared(case: &Path) -> Report {
    let expected = case.join("expected.safetensors");
    let layer = Checkpoint::layer(case, &options(case)).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
    let report = match layer {
        Some(layer) => verify_layer(&layer, &expected, ATOL),
        None => verify(&open(case), &expected, ATOL),
    };
    report.unwrap_or_else(|e| panic!("{}: {e}", case.display()))
}

#[test]
fn numbers_of_the_reference() {
    let cases = cases("expected.safetensors");
    for family in [
        "bart",
        "bigbird",
        "compressive",
        "gpt2",
        "led",
        "linformer",
        "lm-compressive",
        "lm-linformer",
        "lm-performer",
        "lm-softmax",
        "lm-sparse",
        "lm-transformer-xl",
        "mbart",
        "mt5",
        "pegasus",
        "pegasus-x",
        "performer",
        "scaling",
        "terraformer",
        "t5",
        "longt5",
        "transfo-xl",
        "trax-layer",
        "umt5",
    ] {
        let n = cases.iter().filter(|c| c.file_name().is_some_and(|n| n.to_string_lossy().starts_with(family))).count();
        assert!(n >= 3, "{family}: only {n} cases");
    }
    let mut failed = Vec::new();
    for case in &cases {
        // hidden states of pre-norm stacks grow to tens, where 1e-5 is below the last bits of f32: their bound is relative
        let report = compared(case);
        let bad = report.checks.iter().any(|c| match &c.finding {
            Finding::Close { max_rel, .. } if c.key.starts_with("hidden.") => !c.passed && (max_rel.is_nan() || *max_rel > ATOL),
            _ => !c.passed,
        });
        assert!(report.not_compared.is_empty(), "{}: {:?}", case.display(), report.not_compared);
        if bad {
            failed.push(format!("{}\n{}", case.display(), text(&report, ATOL)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// From a line of text to ids, and from ids to text.
#[test]
fn texts_of_the_reference() {
    let cases = cases("expected.txt");
    assert!(cases.len() >= 4);
    for case in cases {
        let checkpoint = open(&case);
        let read = |name: &str| std::fs::read_to_string(case.join(name)).expect("the fixture is whole");
        let (inputs, expected) = (read("input.txt"), read("expected.txt"));
        assert_eq!(inputs.lines().count(), expected.lines().count(), "{}", case.display());
        for (line, want) in inputs.lines().zip(expected.lines()) {
            one_text(&checkpoint, line, &serde_json::from_str(want).expect("a line of JSON"), &case.display().to_string());
        }
    }
}

fn one_text(c: &Checkpoint, line: &str, want: &Value, case: &str) {
    let tokenizer = c.tokenizer.as_ref().expect("a text case has a tokenizer");
    let ids = tokenizer.encode(line, true).expect("text encodes").get_ids().to_vec();
    assert_eq!(serde_json::json!(ids), want["input_ids"], "{case}: {line}");
    let beams = Overrides {
        num_beams: Some(4),
        length_penalty: Some(2.0),
        no_repeat_ngram_size: Some(3),
        early_stopping: Some(EarlyStopping::True),
        ..Overrides::default()
    };
    for (name, overrides) in [("greedy", Overrides { num_beams: Some(1), ..Overrides::default() }), ("beam", beams)] {
        let settings = Generation::resolve(c.generation_config.as_ref(), &c.config, &overrides).expect("settings resolve");
        let (state, first) = c.model.encode(&Source::new(vec![ids.clone()])).expect("the document encodes");
        let prompt = if c.model.info().encoder_decoder { first.clone() } else { ids.clone() };
        let skip = if c.model.info().encoder_decoder { 0 } else { prompt.len() };
        let mut search = search(&*c.model, state, first, vec![prompt], &[0], &settings).expect("a search starts");
        search.by_ref().for_each(|step| drop(step.expect("a step works")));
        let found = search.finish().remove(0).remove(0).tokens;
        assert_eq!(serde_json::json!(found), want[format!("{name}_ids")], "{case}: {name} of {line}");
        assert_eq!(serde_json::json!(tokenizer.decode(&found[skip..], true).expect("ids decode")), want[name], "{case}: {name}");
    }
}

/// `auto` keeps bf16 where the machine has kernels for it, and takes f32 for what it would have to round.
#[test]
fn auto_keeps_what_the_machine_is_fast_in() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let chosen = |case: &str| Checkpoint::open(&fixtures.join(case), &Options::default()).expect("the case loads").held.weights;
    let bf16 = if isa() == Isa::Portable { Precision::F32 } else { Precision::Bf16 };
    assert_eq!(chosen("pegasus-bf16"), bf16);
    assert_eq!([chosen("gpt2-f16"), chosen("gpt2-text")], [Precision::F32; 2]);
}
