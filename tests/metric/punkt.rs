//! Punkt against NLTK with the same small model, stored by `fixtures/text/punkt.py`.

use effattn::metric::rouge::{Punkt, Rouge, RougeOptions, RougeType, Split};
use effattn::metric::{Compare, Metric};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/text").join(name)
}

fn model() -> Punkt {
    Punkt::open(&fixture("punkt")).unwrap()
}

fn stored() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected/punkt.json")).unwrap()).unwrap()
}

#[test]
fn sentences_are_nltks() {
    let (model, stored) = (model(), stored());
    let texts = stored["texts"].as_array().unwrap();
    assert!(texts.len() > 300);
    for entry in texts {
        let text = entry[0].as_str().unwrap();
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let spans: Vec<(usize, usize)> = serde_json::from_value(entry[1].clone()).unwrap();
        let expected: Vec<&str> = spans.iter().map(|&(start, end)| &text[starts[start]..starts[end]]).collect();
        assert_eq!(model.sentences(text), expected, "{text:?}");
    }
}

#[test]
fn scores_are_those_of_split_summaries() {
    let stored = stored();
    let texts: Vec<&str> = stored["texts"].as_array().unwrap().iter().map(|entry| entry[0].as_str().unwrap()).collect();
    let split = Split::Punkt(Arc::new(model()));
    let rouge = Rouge::new(RougeOptions { types: vec![RougeType::Lsum], split, ..RougeOptions::default() }).unwrap();
    let (mut counter, mut row) = (rouge.counter(), [0.0; 3]);
    for (pair, expected) in texts.windows(2).zip(stored["scores"].as_array().unwrap()) {
        counter.segment(pair[0], &[pair[1]], &mut row);
        for (got, expected) in row.iter().zip(expected.as_array().unwrap()) {
            assert!((got - expected.as_f64().unwrap()).abs() <= 1e-12, "{row:?}, not {expected}: {pair:?}");
        }
    }
    assert!(rouge.signature(0).contains(&("split", "punkt".to_owned())));
    assert!(rouge.explain(0).contains("split_summaries=True"));
}

#[test]
fn broken_models_are_refused() {
    let dir = std::env::temp_dir().join(format!("punkt-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let message = || Punkt::open(&dir).unwrap_err().message().to_owned();
    let name = |file: &str| dir.join(file).display().to_string();
    assert!(message().starts_with(&name("abbrev_types.txt: ")), "{}", message());
    for file in ["abbrev_types.txt", "sent_starters.txt", "collocations.tab", "ortho_context.tab"] {
        std::fs::copy(fixture("punkt").join(file), dir.join(file)).unwrap();
    }
    assert!(Punkt::open(&dir).is_ok());
    for (file, broken) in [("collocations.tab", "a\tb\nc d"), ("ortho_context.tab", "a\t1\nb\tmany")] {
        let whole = std::fs::read(dir.join(file)).unwrap();
        std::fs::write(dir.join(file), broken).unwrap();
        assert!(message().starts_with(&name(&format!("{file}: line 2 is not "))), "{}", message());
        std::fs::write(dir.join(file), whole).unwrap();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
