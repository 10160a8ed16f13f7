//! Counts the matches of one segment.

use super::lcs::Lcs;
use super::shared::Shared;
use super::words::{Rules, Vocabulary};
use super::{Aggregation, RougeOptions, RougeType, Split};
use crate::metric::Counter;
use crate::metric::ngram::{Ngrams, Overlap};
use std::ops::Range;

/// One thread's worker: keeps the words it has seen and its buffers.
pub(super) struct RougeCounter<'a> {
    options: &'a RougeOptions,
    vocabulary: Vocabulary,
    hypothesis: Text,
    reference: Text,
    ngrams: Ngrams,
    /// one an order up to the highest asked for
    overlaps: Vec<Overlap>,
    shared: Shared,
    lcs: Lcs,
    union: Vec<u64>,
    /// one a type: of the reference at hand, and of the best or of all together
    here: Vec<Hits>,
    chosen: Vec<Hits>,
}

/// A text as numbers.
#[derive(Debug, Default)]
struct Text {
    words: Vec<u32>,
    /// places in `words` of the sentences that have words; of no use but to `rougeLsum`
    sentences: Vec<Range<usize>>,
}

/// Matches and what there was to match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hits {
    pub matches: usize,
    pub hypothesis: usize,
    pub reference: usize,
}

impl Hits {
    /// Precision, recall and their harmonic mean, 0 where nothing could match.
    pub fn measures(self) -> [f64; 3] {
        let matches = self.matches as f64;
        let (p, r) = (matches / self.hypothesis.max(1) as f64, matches / self.reference.max(1) as f64);
        [p, r, if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 }]
    }

    fn f(self) -> f64 {
        self.measures()[2]
    }

    fn plus(self, other: Self) -> Self {
        Self {
            matches: self.matches + other.matches,
            hypothesis: self.hypothesis + other.hypothesis,
            reference: self.reference + other.reference,
        }
    }
}

impl Counter for RougeCounter<'_> {
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]) {
        let split = self.options.types.contains(&RougeType::Lsum).then_some(&self.options.split);
        self.hypothesis.read(hypothesis, split, &mut self.vocabulary);
        if self.options.types.iter().any(|kind| !matches!(kind, RougeType::N(_))) {
            self.shared.begin(&self.hypothesis.words);
            self.lcs.reserve(self.shared.distinct());
        }
        for (number, reference) in references.iter().enumerate() {
            self.reference.read(reference, split, &mut self.vocabulary);
            self.match_reference();
            match (number, self.options.references) {
                (0, _) => self.chosen.clone_from(&self.here),
                (_, Aggregation::Best) => self.choose(|old, new| if new.f() > old.f() { new } else { old }),
                (_, Aggregation::Average) => self.choose(Hits::plus),
            }
        }
        for (hits, out) in self.chosen.iter().zip(row.chunks_exact_mut(3)) {
            out.copy_from_slice(&hits.measures());
        }
    }
}

impl<'a> RougeCounter<'a> {
    pub fn new(options: &'a RougeOptions) -> Self {
        let order = |kind: &RougeType| if let RougeType::N(n) = kind { usize::from(*n) } else { 0 };
        let orders = options.types.iter().map(order).max().unwrap_or(0);
        Self {
            options,
            vocabulary: Vocabulary::new(Rules { stem: options.use_stemmer, unicode: options.unicode }),
            hypothesis: Text::default(),
            reference: Text::default(),
            ngrams: Ngrams::default(),
            overlaps: vec![Overlap::default(); orders],
            shared: Shared::default(),
            lcs: Lcs::default(),
            union: Vec::new(),
            here: vec![Hits::default(); options.types.len()],
            chosen: vec![Hits::default(); options.types.len()],
        }
    }

    fn choose(&mut self, which: impl Fn(Hits, Hits) -> Hits) {
        for (chosen, &here) in self.chosen.iter_mut().zip(&self.here) {
            *chosen = which(*chosen, here);
        }
    }

    fn match_reference(&mut self) {
        self.ngrams.overlaps(&self.hypothesis.words, &[&self.reference.words], &mut self.overlaps);
        for at in 0..self.here.len() {
            let matches = match self.options.types[at] {
                RougeType::N(n) => {
                    let Overlap { matches, hypothesis, references } = self.overlaps[usize::from(n) - 1];
                    self.here[at] = Hits { matches, hypothesis, reference: references };
                    continue;
                }
                RougeType::L => {
                    self.shared.reduce(&self.reference.words);
                    self.lcs.length(&self.shared.pattern, &self.shared.text)
                }
                RougeType::Lsum => self.union_matches(),
            };
            self.here[at] = Hits { matches, hypothesis: self.hypothesis.words.len(), reference: self.reference.words.len() };
        }
    }

    /// Words in the unions, each as often as the hypothesis has it (rouge_score, after ROUGE-1.5.5).
    ///
    /// rouge_score also counts down the words of the reference; a place is in one union at most, so that never binds.
    fn union_matches(&mut self) -> usize {
        self.shared.release();
        let mut matches = 0;
        for sentence in &self.reference.sentences {
            self.shared.reduce(&self.reference.words[sentence.clone()]);
            self.lcs.union(&self.shared.pattern, &self.shared.text, &self.hypothesis.sentences, &mut self.union);
            matches += self.shared.claim(&self.union);
        }
        matches
    }
}

impl Text {
    /// Reads `text`, in sentences if there is a way to `split` it.
    fn read(&mut self, text: &str, split: Option<&Split>, vocabulary: &mut Vocabulary) {
        let Self { words, sentences } = self;
        words.clear();
        sentences.clear();
        let Some(split) = split else { return vocabulary.read(text, words) };
        split.each(text, |sentence| {
            let start = words.len();
            vocabulary.read(sentence, words);
            if words.len() > start {
                sentences.push(start..words.len());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::lcs::naive;
    use super::super::random::Random;
    use super::*;
    use std::collections::{BTreeSet, HashMap};

    fn counts<'w>(sentences: &[Vec<&'w str>]) -> HashMap<&'w str, usize> {
        sentences.iter().flatten().fold(HashMap::new(), |mut counts, word| {
            *counts.entry(*word).or_default() += 1;
            counts
        })
    }

    /// `rougeLsum` as rouge_score writes it down, with a count of each side's words.
    fn union_matches(reference: &[Vec<&str>], hypothesis: &[Vec<&str>]) -> usize {
        let (mut in_reference, mut in_hypothesis) = (counts(reference), counts(hypothesis));
        let numbers: HashMap<&str, u32> = in_reference.keys().chain(in_hypothesis.keys()).copied().zip(0..).collect();
        let number = |sentence: &[&str]| sentence.iter().map(|word| numbers[word]).collect::<Vec<u32>>();
        let mut matches = 0;
        for sentence in reference {
            let union: BTreeSet<usize> = hypothesis.iter().flat_map(|h| naive::places(&number(sentence), &number(h))).collect();
            for word in union.into_iter().map(|at| sentence[at]) {
                let (a, b) = (in_reference.entry(word).or_default(), in_hypothesis.entry(word).or_default());
                if *a > 0 && *b > 0 {
                    matches += 1;
                    (*a, *b) = (*a - 1, *b - 1);
                }
            }
        }
        matches
    }

    #[test]
    fn unions_are_those_of_rouge_score() {
        let options = RougeOptions { types: vec![RougeType::Lsum], ..RougeOptions::default() };
        let (mut counter, mut random) = (RougeCounter::new(&options), Random::new(3));
        let names: Vec<String> = (0..40).map(|i| format!("w{i}")).collect();
        for round in 0..400 {
            let words = 1 + random.below(if round % 2 == 0 { 4 } else { 40 });
            let mut text = || -> Vec<Vec<&str>> {
                let longest = [8, 90][random.below(2)];
                (0..random.below(6)).map(|_| (0..random.below(longest)).map(|_| names[random.below(words)].as_str()).collect()).collect()
            };
            let (reference, hypothesis) = (text(), text());
            let join = |text: &[Vec<&str>]| text.iter().map(|s| s.join(" ")).collect::<Vec<_>>().join("\n");
            let mut row = [0.0; 3];
            counter.segment(&join(&hypothesis), &[&join(&reference)], &mut row);
            let hits = Hits {
                matches: union_matches(&reference, &hypothesis),
                hypothesis: hypothesis.iter().map(Vec::len).sum(),
                reference: reference.iter().map(Vec::len).sum(),
            };
            assert_eq!(row, hits.measures(), "{reference:?} {hypothesis:?}");
        }
    }
}
