//! Translation edit rate: Snover, Dorr, Schwartz, Micciulla and Makhoul (2006), "A Study of Translation Edit Rate with Targeted Human
//! Annotation", <https://aclanthology.org/2006.amta-papers.25>.
//!
//! TER = edits / reference length, in percent. An edit inserts, deletes or replaces a word or moves a block of words, each at cost 1.
//! With several references a segment counts the fewest edits and the mean length. All heuristics are those of sacreBLEU 2.6
//! (`metrics/ter.py`, `metrics/lib_ter.py`), which follows TERCOM.

mod align;
mod bits;
mod edit;
mod shift;
mod tokenize;

use super::ngram::Words;
use super::{Arithmetic, Compare, Counter, Metric, Score, Sums};
use serde_json::json;
use shift::Shifter;

/// What is done to the text before words are compared. The default is sacreBLEU's: lower case, split at white space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerOptions {
    /// Join lines, resolve XML entities and set punctuation apart (`--ter-normalized`).
    pub normalized: bool,
    /// Remove punctuation (`--ter-no-punct`).
    pub no_punct: bool,
    /// Let the two above treat Chinese and Japanese characters too (`--ter-asian-support`).
    pub asian_support: bool,
    /// Keep upper case (`--ter-case-sensitive`).
    pub case_sensitive: bool,
}

/// Translation edit rate. A row of statistics is [fewest edits, mean reference length].
#[derive(Debug, Clone, Copy, Default)]
pub struct Ter {
    options: TerOptions,
}

impl Ter {
    /// TER of texts prepared so.
    pub fn new(options: TerOptions) -> Self {
        Self { options }
    }
}

impl Metric for Ter {
    fn name(&self) -> String {
        "TER".into()
    }

    fn signature(&self, _: usize) -> Vec<(&'static str, String)> {
        let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
        let TerOptions { normalized, no_punct, asian_support, case_sensitive } = self.options;
        let values = [
            ("case", if case_sensitive { "mixed" } else { "lc" }),
            ("tok", "tercom"),
            ("norm", yes_or_no(normalized)),
            ("punct", yes_or_no(!no_punct)),
            ("asian", yes_or_no(asian_support)),
        ];
        values.map(|(key, value)| (key, value.to_owned())).into()
    }

    fn width(&self) -> usize {
        2
    }

    fn score_arithmetic(&self) -> Arithmetic {
        Arithmetic::Single
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Single
    }

    fn is_error(&self) -> bool {
        true
    }

    fn values(&self, sums: Sums<'_>, _: usize, out: &mut [f64]) {
        // the reference multiplies after it divides, in the precision of its sums
        out[0] = match sums {
            Sums::Single(&[edits, length, ..]) if length > 0.0 => f64::from(100.0 * (edits / length)),
            Sums::Double(&[edits, length, ..]) if length > 0.0 => 100.0 * (edits / length),
            Sums::Single(&[edits, ..]) => without_reference(edits.into()),
            Sums::Double(&[edits, ..]) => without_reference(edits),
            Sums::Single([]) | Sums::Double([]) => 0.0,
        };
    }

    fn score(&self, _: usize, sums: &[f64], segments: usize) -> Score {
        let mut value = [0.0];
        self.values(Sums::Double(sums), segments, &mut value);
        let fields = match sums {
            &[edits, length, ..] => vec![("num_edits", json!(edits as u64)), ("ref_length", json!(length))],
            _ => vec![],
        };
        Score { value: value[0], verbose: String::new(), fields }
    }

    fn explain(&self, _: usize) -> String {
        let TerOptions { normalized, no_punct, asian_support, case_sensitive } = self.options;
        let flags: String = [
            (normalized, " --ter-normalized"),
            (no_punct, " --ter-no-punct"),
            (asian_support, " --ter-asian-support"),
            (case_sensitive, " --ter-case-sensitive"),
        ]
        .iter()
        .filter_map(|&(on, flag)| on.then_some(flag))
        .collect();
        format!(
            "equals `sacrebleu -m ter{flags}` 2.6.0; TERCOM, whose search this follows, gives the same on ordinary text but lays its beam \
             otherwise and has no limit of 1,000 moves a segment; lower is better, and more than 100 is possible"
        )
    }
}

impl Compare for Ter {
    fn counter(&self) -> Box<dyn Counter + '_> {
        Box::new(TerCounter {
            options: &self.options,
            words: Words::default(),
            hypothesis: vec![],
            reference: vec![],
            shifter: Shifter::default(),
        })
    }
}

/// The score in percent when all references are empty.
fn without_reference(edits: f64) -> f64 {
    if edits > 0.0 { 100.0 } else { 0.0 }
}

struct TerCounter<'a> {
    options: &'a TerOptions,
    words: Words,
    hypothesis: Vec<u32>,
    reference: Vec<u32>,
    shifter: Shifter,
}

impl Counter for TerCounter<'_> {
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]) {
        let Self { options, words, hypothesis: hyp, reference, shifter } = self;
        hyp.clear();
        tokenize::words(hypothesis, options, |w| hyp.push(words.number(w.as_bytes())));
        let (mut fewest, mut length) = (usize::MAX, 0);
        for text in references {
            reference.clear();
            tokenize::reference_words(text, options, |w| reference.push(words.number(w.as_bytes())));
            fewest = fewest.min(shifter.edits(hyp, reference));
            length += reference.len();
        }
        row[0] = fewest as f64;
        row[1] = length as f64 / references.len() as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPOTHESES: [&str; 4] = [
        "the cat sat on the mat .",
        "there is a cat on the mat",
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "short",
    ];
    const REFERENCES: [[&str; 2]; 4] = [
        ["the cat is on the mat .", "there is a cat on the mat ."],
        ["a cat is on the mat", "there is a cat on the mat today"],
        [
            "It is a guide to action that ensures that the military will forever heed Party commands",
            "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        ],
        ["a short one", "short"],
    ];

    fn rows(references: usize) -> Vec<[f64; 2]> {
        let ter = Ter::default();
        let mut counter = ter.counter();
        let count = |(hypothesis, refs): (&&str, &[&str; 2])| {
            let mut row = [0.0; 2];
            counter.segment(hypothesis, &refs[..references], &mut row);
            row
        };
        HYPOTHESES.iter().zip(&REFERENCES).map(count).collect()
    }

    fn score(rows: &[[f64; 2]]) -> Score {
        let sums = rows.iter().fold([0.0; 2], |sum, row| [sum[0] + row[0], sum[1] + row[1]]);
        Ter::default().score(0, &sums, rows.len())
    }

    #[test]
    fn four_sentences_score_as_in_sacrebleu() {
        assert_eq!(score(&rows(1)).value, 37.5);
        let both = rows(2);
        assert_eq!(score(&both).value, 26.865671641791046);
        let sentences: Vec<f64> = both.iter().map(|&row| score(&[row]).value).collect();
        assert_eq!(sentences, [13.333333333333334, 14.285714285714285, 41.17647058823529, 0.0]);
        assert_eq!(score(&both).fields, [("num_edits", json!(9)), ("ref_length", json!(33.5))]);
        assert_eq!(score(&both).verbose, "");
    }

    #[test]
    fn empty_sides_score_as_in_sacrebleu() {
        let ter = Ter::default();
        let mut counter = ter.counter();
        for (hypothesis, references, edits, length, value) in [
            ("", &[""] as &[_], 0.0, 0.0, 0.0),
            ("a b c", &[" "], 3.0, 0.0, 100.0),
            ("\u{1f}", &["a b c"], 3.0, 3.0, 100.0),
            ("a b c", &["", "a b c d e f"], 3.0, 3.0, 100.0),
            ("A", &["a", "b c"], 0.0, 1.5, 0.0),
        ] {
            let mut row = [0.0; 2];
            counter.segment(hypothesis, references, &mut row);
            assert_eq!((row, score(&[row]).value), ([edits, length], value), "{hypothesis:?} {references:?}");
        }
    }

    /// `100 * (numpy.float32(7) / numpy.float32(3.3333))` and two more.
    #[test]
    fn single_precision_is_numpys() {
        for (edits, length, expected) in [(7.0f32, 3.3333f32, 210.002_09_f32), (1.0, 3.0, 33.333_336), (5.0, 0.0, 100.0)] {
            let mut value = [0.0];
            Ter::default().values(Sums::Single(&[edits, length]), 1, &mut value);
            assert_eq!(value[0], f64::from(expected));
        }
    }
}
