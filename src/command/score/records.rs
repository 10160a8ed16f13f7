//! A report for programs: rows and objects.

use super::evaluate::{Column, Outcome, Results};
use super::report::{Style, confidence};
use crate::metric::signature::line;
use crate::report::{csv_line, fixed};
use serde_json::{Map, Value, json};

/// All numbers, unrounded.
pub fn csv(results: &Results) -> String {
    let mut out = csv_line(
        &["system", "metric", "score", "mean", "half_width", "low", "high", "difference", "p_value", "signature"].map(str::to_owned),
    );
    for system in &results.systems {
        for (column, o) in results.columns.iter().zip(&system.outcomes) {
            let cell = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
            out += &csv_line(&[
                system.name.clone(),
                column.title.clone(),
                o.score.value.to_string(),
                cell(o.interval.map(|i| i.mean)),
                cell(o.interval.map(|i| i.half_width)),
                cell(o.interval.map(|i| i.quantiles[0])),
                cell(o.interval.map(|i| i.quantiles[2])),
                cell(o.paired.map(|p| p.difference)),
                cell(o.paired.map(|p| p.p_value)),
                line(&column.signature),
            ]);
        }
    }
    out
}

/// One object a score for one system, one object a system for several, as sacreBLEU does.
pub fn json_values(results: &Results, style: &Style) -> Vec<Value> {
    match results.systems.as_slice() {
        [one] => results.columns.iter().zip(&one.outcomes).map(|(c, o)| single(c, o, style)).collect(),
        many => many
            .iter()
            .map(|system| {
                let mut object = Map::from_iter([("system".to_owned(), json!(system.name))]);
                object.extend(results.columns.iter().zip(&system.outcomes).map(|(c, o)| (c.title.clone(), of_several(c, o, style))));
                Value::Object(object)
            })
            .collect(),
    }
}

/// sacreBLEU's keys, then `value` (the score unrounded) and the numbers behind it.
fn single(column: &Column, outcome: &Outcome, style: &Style) -> Value {
    let digits = style.digits(column);
    let rounded = |x: f64| fixed(x, digits).parse::<f64>().unwrap_or(x);
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("name", json!(column.title));
    put("score", json!(rounded(outcome.score.value)));
    put("signature", json!(line(&column.signature)));
    if let Some(i) = outcome.interval {
        put("confidence_mean", json!(rounded(i.mean)));
        put("confidence_var", json!(rounded(i.half_width)));
        put("confidence", json!(confidence(fixed(i.mean, digits), fixed(i.half_width, digits))));
    }
    if !outcome.score.verbose.is_empty() {
        put("verbose_score", json!(outcome.score.verbose));
    }
    column.signature.iter().for_each(|(key, value)| drop(put(key, json!(value))));
    put("value", json!(outcome.score.value));
    details(column, outcome, style, &mut object);
    Value::Object(object)
}

fn of_several(column: &Column, outcome: &Outcome, style: &Style) -> Value {
    let mut object = Map::new();
    object.insert("score".into(), json!(outcome.score.value));
    object.insert("p_value".into(), json!(outcome.paired.map(|p| p.p_value)));
    object.insert("mean".into(), json!(outcome.interval.map(|i| i.mean)));
    object.insert("ci".into(), json!(outcome.interval.map(|i| i.half_width)));
    object.insert("difference".into(), json!(outcome.paired.map(|p| p.difference)));
    object.insert("signature".into(), json!(line(&column.signature)));
    details(column, outcome, style, &mut object);
    Value::Object(object)
}

fn details(column: &Column, outcome: &Outcome, style: &Style, object: &mut Map<String, Value>) {
    if let Some(i) = outcome.interval {
        let [low, mid, high] = i.quantiles;
        object.insert("quantiles".into(), json!({"low": low, "mid": mid, "high": high}));
        if let Some(note) = column.metric.on_intervals() {
            object.insert("confidence_note".into(), json!(note));
        }
    }
    object.extend(outcome.score.fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let departures = column.metric.departures(column.which);
    if !departures.is_empty() {
        object.insert("departures".into(), json!(departures));
    }
    if style.explain {
        object.insert("explanation".into(), json!(column.metric.explain(column.which)));
    }
}
