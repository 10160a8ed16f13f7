//! Longest common subsequences in machine words (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
//!
//! With c(i, j) the length of a longest common subsequence of the first i words of the pattern and the first j of the text,
//! V(j) has a bit for each i: 0 where c(i, j) = c(i − 1, j) + 1, else 1. With M(w) the places of word w in the pattern and
//! w the text's word j,
//!
//! ```text
//! V(0) = 1…1    V(j) = (V(j−1) + (V(j−1) ∧ M(w))) ∨ (V(j−1) ∧ ¬M(w))
//! ```
//!
//! A pattern longer than 64 words is cut into blocks. One block runs over the whole text before the next, with one carry a place of
//! the text between them, so that the masks of a single block are held at a time.

use std::ops::Range;

/// Finds subsequences; keeps its buffers. Words are dense numbers below the `words` it was last told of.
#[derive(Debug, Default)]
pub(super) struct Lcs {
    /// M of each word, of the block at hand; all 0 between calls
    masks: Vec<u64>,
    /// carry out of the block before, at each place of the text
    carries: Vec<bool>,
    /// ¬V ∨ M, block after block, of each place of the text
    rows: Vec<u64>,
}

impl Lcs {
    /// Makes room for words 0…`words` − 1.
    pub fn reserve(&mut self, words: usize) {
        if self.masks.len() < words {
            self.masks.resize(words, 0);
        }
    }

    /// Length of a longest common subsequence.
    pub fn length(&mut self, pattern: &[u32], text: &[u32]) -> usize {
        self.carries.clear();
        self.carries.resize(text.len(), false);
        let mut length = 0;
        for block in pattern.chunks(64) {
            self.set_masks(block);
            let mut v = u64::MAX;
            for (&word, carry) in text.iter().zip(&mut self.carries) {
                v = step(v, self.masks[word as usize], carry);
            }
            length += v.count_zeros() as usize;
            self.clear_masks(block);
        }
        length
    }

    /// Sets in `union` the bits of the words of `pattern` that belong to its longest common subsequence with any `sentence` of `text`.
    ///
    /// Of several longest subsequences rouge_score takes the one that this walk back from (i, j) reads out: both words if they are
    /// equal, else one word of the text back if c(i, j−1) > c(i−1, j), else one of the pattern. The comparison asks whether V has a
    /// 0 at i, and a word of the pattern that the text lacks never changes the way.
    pub fn union(&mut self, pattern: &[u32], text: &[u32], sentences: &[Range<usize>], union: &mut Vec<u64>) {
        self.fill_rows(pattern, text, sentences);
        union.clear();
        union.resize(pattern.len().div_ceil(64), 0);
        for sentence in sentences {
            let mut left = pattern.len();
            for at in sentence.clone().rev() {
                let Some(row) = self.last_row(left, at, text.len()) else { break };
                if pattern[row] == text[at] {
                    union[row / 64] |= 1 << (row % 64);
                    left = row;
                } else {
                    left = row + 1;
                }
            }
        }
    }

    fn fill_rows(&mut self, pattern: &[u32], text: &[u32], sentences: &[Range<usize>]) {
        self.carries.clear();
        self.carries.resize(text.len(), false);
        let blocks = pattern.len().div_ceil(64);
        if self.rows.len() < blocks * text.len() {
            self.rows.resize(blocks * text.len(), 0);
        }
        for (number, block) in pattern.chunks(64).enumerate() {
            self.set_masks(block);
            let rows = &mut self.rows[number * text.len()..];
            for sentence in sentences {
                let mut v = u64::MAX;
                let places = text[sentence.clone()].iter().zip(&mut self.carries[sentence.clone()]);
                for ((&word, carry), row) in places.zip(&mut rows[sentence.clone()]) {
                    let mask = self.masks[word as usize];
                    v = step(v, mask, carry);
                    *row = !v | mask;
                }
            }
            self.clear_masks(block);
        }
    }

    /// The last of the first `left` rows where place `at` matches or V is 0: where the walk back leaves the column.
    fn last_row(&self, left: usize, at: usize, text: usize) -> Option<usize> {
        let mut block = left.checked_sub(1)? / 64;
        let mut row = self.rows[block * text + at] & (u64::MAX >> (63 - (left - 1) % 64));
        while row == 0 {
            block = block.checked_sub(1)?;
            row = self.rows[block * text + at];
        }
        Some(block * 64 + row.ilog2() as usize)
    }

    fn set_masks(&mut self, block: &[u32]) {
        for (bit, &word) in block.iter().enumerate() {
            self.masks[word as usize] |= 1 << bit;
        }
    }

    fn clear_masks(&mut self, block: &[u32]) {
        for &word in block {
            self.masks[word as usize] = 0;
        }
    }
}

fn step(v: u64, mask: u64, carry: &mut bool) -> u64 {
    let (sum, over) = v.overflowing_add(v & mask);
    let (sum, over_again) = sum.overflowing_add(u64::from(*carry));
    *carry = over | over_again;
    sum | (v & !mask)
}

/// The same from the full table.
#[cfg(test)]
pub(crate) mod naive {
    fn table(pattern: &[u32], text: &[u32]) -> Vec<Vec<usize>> {
        let mut c = vec![vec![0; text.len() + 1]; pattern.len() + 1];
        for i in 1..=pattern.len() {
            for j in 1..=text.len() {
                let equal = pattern[i - 1] == text[j - 1];
                c[i][j] = if equal { c[i - 1][j - 1] + 1 } else { c[i - 1][j].max(c[i][j - 1]) };
            }
        }
        c
    }

    pub fn length(pattern: &[u32], text: &[u32]) -> usize {
        table(pattern, text)[pattern.len()][text.len()]
    }

    /// Places in `pattern` of the subsequence that rouge_score takes.
    pub fn places(pattern: &[u32], text: &[u32]) -> Vec<usize> {
        let c = table(pattern, text);
        let (mut i, mut j, mut places) = (pattern.len(), text.len(), Vec::new());
        while i > 0 && j > 0 {
            if pattern[i - 1] == text[j - 1] {
                places.push(i - 1);
                (i, j) = (i - 1, j - 1);
            } else if c[i][j - 1] > c[i - 1][j] {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::rouge::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn lengths_and_unions_are_those_of_the_table() {
        let (mut random, mut lcs, mut union) = (Random::new(7), Lcs::default(), Vec::new());
        for round in 0..600 {
            let words = 1 + random.below(if round % 3 == 0 { 3 } else { 40 });
            lcs.reserve(words);
            let mut text = |longest: usize| -> Vec<u32> { (0..random.below(longest + 1)).map(|_| random.below(words) as u32).collect() };
            let (pattern, text) = (text(200), text(150));
            assert_eq!(lcs.length(&pattern, &text), naive::length(&pattern, &text));
            let mut cuts: Vec<usize> = (0..random.below(6)).map(|_| random.below(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let sentences: Vec<Range<usize>> = cuts.windows(2).map(|w| w[0]..w[1]).collect();
            lcs.union(&pattern, &text, &sentences, &mut union);
            let got: Vec<usize> = (0..pattern.len()).filter(|i| union[i / 64] >> (i % 64) & 1 == 1).collect();
            let expected: BTreeSet<usize> = sentences.iter().flat_map(|s| naive::places(&pattern, &text[s.clone()])).collect();
            assert_eq!(got, expected.into_iter().collect::<Vec<_>>(), "round {round}: {pattern:?} {text:?} {sentences:?}");
        }
    }
}
