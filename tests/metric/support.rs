//! The stored segments, and what the reference tools give for them.

use effattn::metric::count::count;
use effattn::metric::{Compare, Metric, Sums};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// A stored segment.
#[derive(Deserialize)]
pub struct Segment {
    pub id: String,
    pub kind: String,
    pub hypothesis: String,
    pub references: Vec<String>,
}

/// The text of a file in `fixtures/text`.
pub fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/text").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All segments.
pub fn segments() -> Vec<Segment> {
    read("segments.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// The entries of `expected/NAME.json`.
pub fn cases(name: &str) -> Vec<Value> {
    serde_json::from_str(&read(&format!("expected/{name}.json"))).unwrap()
}

/// Whether two numbers differ by no more than `tolerance`.
pub fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

/// The statistics of hypotheses, a row each, as the program counts them.
pub fn rows(metric: &dyn Compare, hypotheses: &[&str], references: &[Vec<&str>]) -> Vec<Vec<f64>> {
    let texts = |i: usize, out: &mut Vec<_>| {
        out.extend(&references[i]);
        hypotheses[i]
    };
    let all = count(&[metric], hypotheses.len(), texts).remove(0);
    all.chunks_exact(metric.width()).map(<[f64]>::to_vec).collect()
}

/// The sums of rows.
pub fn sum(rows: &[Vec<f64>]) -> Vec<f64> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).map(|i| rows.iter().map(|r| r[i]).sum()).collect()
}

/// The one score of sums.
pub fn value(metric: &dyn Metric, sums: Sums<'_>) -> f64 {
    let mut out = [f64::NAN];
    metric.values(sums, 1, &mut out);
    out[0]
}

/// Compares every number of a case; `sentence` is the metric as configured for single segments.
pub fn check(case: &Value, metric: &dyn Compare, sentence: &dyn Compare, segments: &[Segment], tolerance: f64) {
    let refs = case["refs"].as_u64().expect("a number") as usize;
    let hypotheses: Vec<&str> = segments.iter().map(|s| s.hypothesis.as_str()).collect();
    let references: Vec<Vec<&str>> = segments.iter().map(|s| s.references[..refs].iter().map(String::as_str).collect()).collect();
    let rows = rows(metric, &hypotheses, &references);
    let mut wrong = Vec::new();
    let mut worst = 0.0_f64;
    let mut compare = |what: String, got: f64, expected: &Value| {
        let expected = expected.as_f64().expect("a number");
        worst = worst.max((got - expected).abs());
        if (got - expected).abs() > tolerance || got.is_nan() {
            wrong.push(format!("{what}: {got} instead of {expected}"));
        }
    };
    let list = |name: &str| case[name].as_array().expect("a list").clone();

    let corpus = metric.score(0, &sum(&rows), rows.len());
    compare("corpus".into(), corpus.value, &case["corpus"]);
    for (i, (block, expected)) in rows.chunks(50).zip(list("blocks")).enumerate() {
        compare(format!("block {i}"), value(metric, Sums::Double(&sum(block))), &expected);
    }
    assert_eq!(list("sentences").len(), rows.len());
    for ((row, expected), s) in rows.iter().zip(list("sentences")).zip(segments) {
        let score = sentence.score(0, row, 1).value;
        compare(format!("{}: {:?} against {:?}", s.kind, s.hypothesis, &s.references[..refs]), score, &expected);
    }
    assert!(
        wrong.is_empty(),
        "{} with {refs} references: {} wrong\n{}",
        case["options"],
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );

    println!("{} {} with {refs} references: within {worst:.1e}", metric.name(), case["options"]);
    let signature: String = metric.signature(0).iter().map(|(name, value)| format!("|{name}:{value}")).collect();
    let line = format!("{}|nrefs:{refs}{signature}|version:2.6.0 = {:.4} {}", metric.name(), corpus.value, corpus.verbose);
    assert_eq!(line.trim_end(), case["line"].as_str().unwrap());
}

/// Four hypotheses whose scores are known to the last digit.
pub const HYPOTHESES: [&str; 4] = [
    "the cat sat on the mat .",
    "there is a cat on the mat",
    "It is a guide to action which ensures that the military always obeys the commands of the party",
    "short",
];

/// Their references, two each.
pub fn known_references() -> Vec<Vec<&'static str>> {
    vec![
        vec!["the cat is on the mat .", "there is a cat on the mat ."],
        vec!["a cat is on the mat", "there is a cat on the mat today"],
        vec![
            "It is a guide to action that ensures that the military will forever heed Party commands",
            "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        ],
        vec!["a short one", "short"],
    ]
}
