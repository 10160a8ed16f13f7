//! What is known of one document when it is done: a [`Record`], as a JSON line or as text.

use crate::error::Error;
use crate::timing::Timing;
use serde_json::{Map, Number, Value, json};

/// One document's outcome. Its JSON keys are the same in every record of a run.
#[derive(Debug, Clone)]
pub struct Record {
    /// The document's id.
    pub id: Value,
    /// The seed derived for this document.
    pub seed: u64,
    /// The attention that ran over the document.
    pub attention: String,
    /// The summary, or why there is none.
    pub outcome: Result<Outcome, Error>,
    /// Input fields to pass through.
    pub fields: Map<String, Value>,
}

/// What decoding made of one document.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The summaries, best first; never empty.
    pub summaries: Vec<String>,
    /// Score of the best, where the strategy gives one.
    pub score: Option<f32>,
    /// Whether the best ends with a stop token rather than at the greatest length.
    pub stopped: bool,
    /// Tokens of the whole document, special tokens, prefix and template included.
    pub n_input: usize,
    /// Those that the model read.
    pub n_used: usize,
    /// Tokens of the best summary, stop token included.
    pub n_output: usize,
    /// Pieces that the document was cut into.
    pub chunks: usize,
    /// What it took.
    pub timing: Timing,
}

/// Keys that depend on what was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// Whether times are measured (else they are `null`, so that equal documents give equal bytes).
    pub timings: bool,
    /// Adds `alternatives`.
    pub alternatives: bool,
    /// Adds `chunks`.
    pub chunks: bool,
}

/// Keys of every record, which passed-through fields must not take.
const KEYS: [&str; 17] = [
    "id",
    "summary_text",
    "n_input_tokens",
    "n_used_tokens",
    "truncated",
    "n_output_tokens",
    "finish_reason",
    "score",
    "seed",
    "attention",
    "ttft_ms",
    "tpot_ms",
    "total_ms",
    "error",
    "token_ms",
    "alternatives",
    "chunks",
];

impl Record {
    /// The record as one line of JSON, without the line end.
    pub fn json(&self, extras: Extras) -> String {
        let done = self.outcome.as_ref().ok();
        let of = |f: &dyn Fn(&Outcome) -> Value| done.map_or(Value::Null, f);
        let time = |f: &dyn Fn(&Timing) -> Value| of(&|o| if extras.timings { f(&o.timing) } else { Value::Null });
        let finish = done.map_or("error", |o| if o.stopped { "stop" } else { "length" });
        let mut line = Map::new();
        let mut put = |key: &str, value: Value| drop(line.insert(key.to_owned(), value));
        put("id", self.id.clone());
        put("summary_text", of(&|o| json!(o.summaries.first())));
        put("n_input_tokens", of(&|o| json!(o.n_input)));
        put("n_used_tokens", of(&|o| json!(o.n_used)));
        put("truncated", of(&|o| json!(o.n_used < o.n_input)));
        put("n_output_tokens", of(&|o| json!(o.n_output)));
        put("finish_reason", json!(finish));
        put("score", of(&|o| o.score.map_or(Value::Null, float)));
        put("seed", json!(self.seed));
        put("attention", json!(self.attention));
        put("ttft_ms", time(&|t| json!(t.ttft_ms())));
        put("tpot_ms", time(&|t| json!(t.tpot_ms())));
        put("total_ms", time(&|t| json!(t.total_ms())));
        put("error", self.outcome.as_ref().err().map_or(Value::Null, |e| json!(e.message())));
        if extras.timings {
            put("token_ms", time(&|t| json!(t.token_ms())));
        }
        if extras.alternatives {
            put("alternatives", of(&|o| json!(o.summaries.get(1..))));
        }
        if extras.chunks {
            put("chunks", of(&|o| json!(o.chunks)));
        }
        for (key, value) in &self.fields {
            if key != "id" {
                let taken = KEYS.contains(&key.as_str());
                put(&if taken { format!("input_{key}") } else { key.clone() }, value.clone());
            }
        }
        Value::Object(line).to_string()
    }

    /// The summaries as lines of text: as they are when the document is alone, else each on exactly one line.
    ///
    /// A failed document leaves its lines empty (there are `per_document` of them), so that line n belongs to document n.
    pub fn text(&self, alone: bool, per_document: usize) -> String {
        match &self.outcome {
            Err(_) => vec![""; per_document].join("\n"),
            Ok(o) if alone => o.summaries.join("\n"),
            Ok(o) => o.summaries.iter().map(|s| flat(s)).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// The text on one line: line breaks become spaces.
pub fn flat(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// A number with the digits of an `f32`, not of the `f64` that JSON would make of it.
fn float(x: f32) -> Value {
    x.to_string().parse::<f64>().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn done() -> Record {
        let mut timing = Timing::default();
        timing.push(Duration::from_millis(9));
        timing.push(Duration::from_millis(2));
        let outcome = Outcome {
            summaries: vec!["a\nb".into(), "c".into()],
            score: Some(-0.1),
            stopped: true,
            n_input: 12,
            n_used: 10,
            n_output: 2,
            chunks: 1,
            timing,
        };
        Record { id: json!("x"), seed: 5, attention: "full".into(), outcome: Ok(outcome), fields: Map::new() }
    }

    #[test]
    fn the_keys_and_their_order() {
        assert_eq!(
            done().json(Extras::default()),
            r#"{"id":"x","summary_text":"a\nb","n_input_tokens":12,"n_used_tokens":10,"truncated":true,"n_output_tokens":2,"finish_reason":"stop","score":-0.1,"seed":5,"attention":"full","ttft_ms":null,"tpot_ms":null,"total_ms":null,"error":null}"#
        );
        let all = done().json(Extras { timings: true, alternatives: true, chunks: true });
        assert!(all.ends_with(
            r#""ttft_ms":9.0,"tpot_ms":2.0,"total_ms":11.0,"error":null,"token_ms":[9.0,2.0],"alternatives":["c"],"chunks":1}"#
        ));
    }

    #[test]
    fn failures_and_fields() {
        let mut r = done();
        r.outcome = Err(Error::new("`a.jsonl:3`: bad"));
        r.fields = json!({"id": "x", "source": [1], "score": 3}).as_object().cloned().unwrap();
        assert_eq!(
            r.json(Extras::default()),
            r#"{"id":"x","summary_text":null,"n_input_tokens":null,"n_used_tokens":null,"truncated":null,"n_output_tokens":null,"finish_reason":"error","score":null,"seed":5,"attention":"full","ttft_ms":null,"tpot_ms":null,"total_ms":null,"error":"`a.jsonl:3`: bad","source":[1],"input_score":3}"#
        );
        assert_eq!(r.text(false, 2), "\n");
    }

    #[test]
    fn text_is_as_it_is_or_one_line() {
        assert_eq!((done().text(true, 2), done().text(false, 2)), ("a\nb\nc".into(), "a b\nc".into()));
    }
}
