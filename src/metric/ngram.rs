//! Words as numbers and n-grams as numbers of numbers: clipped matches without building a single n-gram.
//!
//! An n-gram is known by the number of its first n − 1 words (as an (n−1)-gram) and of its last word, so one 64-bit key holds
//! any order exactly: nothing is hashed away.

use rustc_hash::FxHashMap;

/// Numbers for words: equal words have equal numbers. Lives as long as its thread, so each distinct word costs once.
#[derive(Debug, Default)]
pub struct Words {
    numbers: FxHashMap<Box<[u8]>, u32>,
}

impl Words {
    /// The number of a word.
    pub fn number(&mut self, word: &[u8]) -> u32 {
        if let Some(&n) = self.numbers.get(word) {
            return n;
        }
        let n = self.numbers.len() as u32;
        self.numbers.insert(word.into(), n);
        n
    }
}

/// How many n-grams of one order a hypothesis and its references share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Σ over n-grams of min(count in the hypothesis, largest count in any reference).
    pub matches: usize,
    /// n-grams of the hypothesis, max(length − n + 1, 0).
    pub hypothesis: usize,
    /// n-grams of all references together.
    pub references: usize,
}

/// Counts n-grams; keeps its tables from segment to segment.
#[derive(Debug, Default)]
pub struct Ngrams {
    table: Table,
    /// (largest count in a reference so far, count in the reference at hand) of each n-gram of this order
    counts: Vec<(u32, u32)>,
    /// number of the n-gram that begins at each position of all references, one after the other
    in_refs: Vec<u32>,
    /// the same of the hypothesis; [`ABSENT`] where no reference has it
    in_hyp: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Ngrams {
    /// The overlaps of orders 1…`out.len()`, clipped by the largest count in any reference.
    pub fn overlaps(&mut self, hypothesis: &[u32], references: &[&[u32]], out: &mut [Overlap]) {
        let total: usize = references.iter().map(|r| r.len()).sum();
        self.in_refs.clear();
        self.in_refs.resize(total, 0);
        self.in_hyp.clear();
        self.in_hyp.resize(hypothesis.len(), 0);
        for (order, out) in out.iter_mut().enumerate() {
            self.number_references(references, order, total);
            *out = Overlap {
                matches: self.match_hypothesis(hypothesis, order),
                hypothesis: hypothesis.len().saturating_sub(order),
                references: references.iter().map(|r| r.len().saturating_sub(order)).sum(),
            };
        }
    }

    /// Gives every n-gram (n = `order` + 1) of the references its number and its largest count.
    fn number_references(&mut self, references: &[&[u32]], order: usize, total: usize) {
        self.table.clear(total);
        self.counts.clear();
        let mut at = 0;
        for reference in references {
            let starts = reference.len().saturating_sub(order);
            for i in 0..starts {
                let slot = &mut self.in_refs[at + i];
                let key = key(*slot, reference[i + order]);
                *slot = self.table.number(key);
                match self.counts.get_mut(*slot as usize) {
                    Some(count) => count.1 += 1,
                    None => self.counts.push((0, 1)),
                }
            }
            for &number in &self.in_refs[at..at + starts] {
                let (largest, here) = &mut self.counts[number as usize];
                *largest = (*largest).max(*here);
                *here = 0;
            }
            at += reference.len();
        }
    }

    /// Matches of order n = `order` + 1; uses the counts up.
    fn match_hypothesis(&mut self, hypothesis: &[u32], order: usize) -> usize {
        let mut matches = 0;
        for i in 0..hypothesis.len().saturating_sub(order) {
            let slot = &mut self.in_hyp[i];
            if *slot == ABSENT {
                continue; // no reference has even its first words
            }
            *slot = self.table.find(key(*slot, hypothesis[i + order]));
            if *slot != ABSENT {
                let left = &mut self.counts[*slot as usize].0;
                matches += usize::from(*left > 0);
                *left = left.saturating_sub(1);
            }
        }
        matches
    }
}

fn key(prefix: u32, word: u32) -> u64 {
    u64::from(prefix) << 32 | u64::from(word)
}

/// Keys to dense numbers, open addressing; emptied by a change of stamp.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    stamp: u32,
    used: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u64,
    number: u32,
    stamp: u32,
}

impl Table {
    /// Forgets everything and makes room for `keys`.
    fn clear(&mut self, keys: usize) {
        let needed = (2 * keys + 2).next_power_of_two();
        if self.slots.len() < needed || self.stamp == u32::MAX {
            self.slots = vec![Slot::default(); needed.max(self.slots.len())];
            self.stamp = 0;
        }
        self.stamp += 1;
        self.used = 0;
    }

    /// Where `key` is, or the free slot where it would be.
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing; the upper half is the well mixed one
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        while self.slots[at].stamp == self.stamp && self.slots[at].key != key {
            at = (at + 1) & mask;
        }
        at
    }

    /// The number of `key`, a new one if it has none.
    fn number(&mut self, key: u64) -> u32 {
        let at = self.slot(key);
        if self.slots[at].stamp != self.stamp {
            self.slots[at] = Slot { key, number: self.used, stamp: self.stamp };
            self.used += 1;
        }
        self.slots[at].number
    }

    /// The number of `key`, or [`ABSENT`].
    fn find(&self, key: u64) -> u32 {
        let slot = self.slots[self.slot(key)];
        if slot.stamp == self.stamp { slot.number } else { ABSENT }
    }
}

/// The same by counting whole n-grams: the oracle of [`Ngrams`].
#[cfg(test)]
pub(crate) mod naive {
    use super::Overlap;
    use std::collections::HashMap;

    fn counts(words: &[u32], n: usize) -> HashMap<&[u32], usize> {
        words.windows(n).fold(HashMap::new(), |mut counts, gram| {
            *counts.entry(gram).or_default() += 1;
            counts
        })
    }

    pub fn overlap(hypothesis: &[u32], references: &[&[u32]], n: usize) -> Overlap {
        let refs: Vec<_> = references.iter().map(|r| counts(r, n)).collect();
        let most = |gram: &[u32]| refs.iter().map(|r| r.get(gram).copied().unwrap_or(0)).max().unwrap_or(0);
        let hyp = counts(hypothesis, n);
        Overlap {
            matches: hyp.iter().map(|(gram, &c)| c.min(most(gram))).sum(),
            hypothesis: hyp.values().sum(),
            references: refs.iter().flat_map(|r| r.values()).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_counting_whole_ngrams() {
        let mut x = 1u64;
        let mut random = |below: u64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 33) % below
        };
        let mut ngrams = Ngrams::default();
        for _ in 0..500 {
            let vocabulary = 1 + random(6);
            let mut text = |longest: u64| -> Vec<u32> { (0..random(longest + 1)).map(|_| random(vocabulary) as u32).collect() };
            let hypothesis = text(30);
            let references: Vec<Vec<u32>> = (0..3).map(|_| text(25)).collect();
            for used in 1..=3 {
                let references: Vec<&[u32]> = references[..used].iter().map(Vec::as_slice).collect();
                let mut out = [Overlap::default(); 9];
                ngrams.overlaps(&hypothesis, &references, &mut out);
                for (i, got) in out.iter().enumerate() {
                    assert_eq!(*got, naive::overlap(&hypothesis, &references, i + 1), "order {}", i + 1);
                }
            }
        }
    }

    #[test]
    fn words_have_one_number_each() {
        let mut words = Words::default();
        let numbers: Vec<u32> = ["a", "b", "a", ""].iter().map(|w| words.number(w.as_bytes())).collect();
        assert_eq!(numbers, [0, 1, 0, 2]);
    }
}
