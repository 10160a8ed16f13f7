//! A [`Comparison`] for people and programs.

use super::compare::{Comparison, Line};
use super::texts::WRITTEN;
use crate::command::bench::signed;
use crate::report::{Table, bytes, fixed, grouped};
use serde_json::{Value, json};

impl Comparison {
    /// For programs.
    pub fn json(&self) -> Value {
        let line = |l: &Line| {
            json!({
                "dtype": l.precision.name(),
                "weight_bytes": l.bytes,
                "logit_difference": l.difference,
                "logit_difference_relative": self.relative(l),
                "same_greedy_share": self.share(l),
                "token_perplexity": l.perplexity,
                "token_perplexity_change_percent": self.change(l),
            })
        };
        json!({
            "documents": self.texts.all.len(),
            "truncated_documents": self.texts.cut,
            "made_up": self.texts.made_up,
            "tokens": self.texts.tokens(),
            "largest_logit": self.largest,
            "results": self.lines.iter().map(line).collect::<Vec<_>>(),
        })
    }

    /// For people: a table, and what it was measured over.
    pub fn text(&self) -> String {
        let header = ["weights", "bytes", "largest logit difference", "relative", "same greedy token", "token perplexity", "change"];
        let mut table = Table::new(header).right(&[1, 2, 3, 4, 5, 6]);
        for l in &self.lines {
            table.row([
                l.precision.name().to_owned(),
                bytes(l.bytes),
                small(l.difference),
                small(self.relative(l)),
                format!("{} %", fixed(100.0 * self.share(l), 2)),
                fixed(l.perplexity, 4),
                change(self.change(l)),
            ]);
        }
        self.notes().iter().fold(format!("\n{}\n", table.text()), |out, note| out + note + "\n")
    }

    fn notes(&self) -> Vec<String> {
        let (texts, tokens) = (&self.texts, grouped(self.texts.tokens()));
        let n = texts.all.len();
        let documents = format!("{} {}", grouped(n), if n == 1 { "document" } else { "documents" });
        let mut notes = vec![if self.written {
            format!("{tokens} tokens that f32 writes greedily for {documents}, {WRITTEN} at most for each; keys and values in f32")
        } else {
            format!("{tokens} tokens of {documents}, the first of each predicted from nothing and left out; keys and values in f32")
        }];
        notes.push(format!("relative: to the largest logit of f32, {}", fixed(self.largest, 2)));
        if let (1.., Some(limit)) = (texts.cut, texts.limit) {
            let limit = grouped(limit);
            notes.push(format!("note: {} of {documents} cut to the {limit} tokens that the model reads", grouped(texts.cut)));
        }
        if texts.made_up {
            notes.push("made-up tokens: quality figures say little; name documents with `--documents FILE`".to_owned());
        }
        notes
    }
}

/// A difference, which is seldom of the size of 1.
fn small(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { format!("{x:.1e}") }
}

fn change(percent: f64) -> String {
    if percent == 0.0 { "0 %".to_owned() } else { format!("{} %", signed(&fixed(percent, 3))) }
}
