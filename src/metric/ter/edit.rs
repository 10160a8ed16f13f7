//! Edit distance inside a beam round the diagonal (sacreBLEU's `BeamEditDistance`).
//!
//! Cell (i, j) of the table is the cost of rewriting the first i words of the hypothesis into the first j words of the reference,
//! for j near i · (reference length / hypothesis length) only. A shift keeps the length and so the beam; therefore sacreBLEU's cache
//! of rows changes no result and needs no counterpart. Instead a second table holds the costs from each cell to the end, so that a
//! shifted hypothesis costs only the rows it moves.

use super::align::Alignment;
use super::bits::{MOST_CELLS, Places, Steps};
use std::ops::Range;

const BEAM_WIDTH: usize = 25;
/// Beyond so many 64-bit words (32 MiB) the places of words are not noted.
const MOST_PLACES: usize = 1 << 22;
/// No path leads here. Ones can be added without harm.
const FAR: u32 = u32::MAX / 2;
/// Equal to no word.
const NO_WORD: u32 = u32::MAX;

/// The tables of one hypothesis, and what its shifts share.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// word j − 1 of the reference at j, where the table has it
    reference: Vec<u32>,
    /// columns inside the beam, a row
    beam: Vec<Range<usize>>,
    /// the longest of them
    width: usize,
    /// cost from (0, 0) to (i, j) at i · width + j − `beam[i].start`
    from_start: Vec<u32>,
    /// cost from (i, j) to the last cell, laid out alike; row 0 is not used
    to_end: Vec<u32>,
    /// rows of `from_start` once more; empty if they do not fit
    steps: Vec<Steps>,
    places: Places,
    /// one row at work, all its columns; `FAR` outside the beam
    row: Vec<u32>,
}

impl Edits {
    /// Lays out the tables for hypotheses of `hypothesis` words. Neither side may be empty; all words are below `kinds`.
    pub fn begin(&mut self, hypothesis: usize, reference: &[u32], kinds: usize) {
        self.reference.clear();
        self.reference.push(NO_WORD);
        self.reference.extend(reference);
        lay_beam(hypothesis, reference.len(), &mut self.beam);
        self.width = self.beam.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        for table in [&mut self.from_start, &mut self.to_end] {
            table.clear();
            table.resize((hypothesis + 1) * self.width, FAR);
        }
        self.row.clear();
        self.row.resize(reference.len() + 1, FAR);
        self.steps.clear();
        if self.beam[1..].iter().all(|row| row.len() <= MOST_CELLS) && kinds * (reference.len() / 64 + 2) <= MOST_PLACES {
            self.steps.resize(hypothesis + 1, Steps::default());
            self.places.fill(&self.reference, kinds);
        }
        for j in self.beam[0].clone() {
            self.row[j] = j as u32;
        }
        self.store(0);
        self.clear(0);
        let cells = self.cells(hypothesis);
        let last = &self.beam[hypothesis];
        for (cell, j) in self.to_end[cells].iter_mut().zip(last.clone()) {
            *cell = (reference.len() - j) as u32;
        }
    }

    /// Fills the tables, in which only the words in `moved` may be new since the last time; the edit distance.
    pub fn fill(&mut self, hypothesis: &[u32], moved: Range<usize>) -> u32 {
        let n = hypothesis.len();
        self.load(moved.start);
        for i in moved.start + 1..=n {
            self.advance(i, hypothesis[i - 1]);
            self.store(i);
        }
        let distance = self.row[self.reference.len() - 1];
        self.clear(n);
        let cells = self.cells(moved.end);
        self.row[self.beam[moved.end].clone()].copy_from_slice(&self.to_end[cells]);
        for i in (1..moved.end).rev() {
            self.retreat(i, hypothesis[i]);
            let cells = self.cells(i);
            self.to_end[cells].copy_from_slice(&self.row[self.beam[i].clone()]);
        }
        self.clear(1);
        distance
    }

    /// The edit distance of a hypothesis that differs from the one filled in by its words in `moved` at most.
    pub fn distance(&mut self, hypothesis: &[u32], moved: Range<usize>) -> u32 {
        let Some(mut steps) = self.steps.get(moved.start).copied() else { return self.distance_by_cells(hypothesis, moved) };
        for i in moved.clone() {
            let here = &self.beam[i + 1];
            steps.advance(&self.beam[i], here, self.places.window(here.start, hypothesis[i]));
        }
        steps.least_sum(&self.to_end[self.cells(moved.end)])
    }

    fn distance_by_cells(&mut self, hypothesis: &[u32], moved: Range<usize>) -> u32 {
        self.load(moved.start);
        for i in moved.clone() {
            self.advance(i + 1, hypothesis[i]);
        }
        let row = &self.row[self.beam[moved.end].clone()];
        let rest = &self.to_end[self.cells(moved.end)];
        let distance = row.iter().zip(rest).map(|(there, rest)| there + rest).min().unwrap_or(FAR);
        self.clear(moved.end);
        distance
    }

    /// Row i of `from_start` becomes the one at work.
    fn load(&mut self, i: usize) {
        let cells = self.cells(i);
        self.row[self.beam[i].clone()].copy_from_slice(&self.from_start[cells]);
    }

    /// The row at work becomes row i of `from_start`.
    fn store(&mut self, i: usize) {
        let cells = self.cells(i);
        let row = &self.row[self.beam[i].clone()];
        self.from_start[cells].copy_from_slice(row);
        if let Some(steps) = self.steps.get_mut(i) {
            *steps = Steps::of(row);
        }
    }

    /// Leaves no row at work; the last was row i.
    fn clear(&mut self, i: usize) {
        self.row[self.beam[i].clone()].fill(FAR);
    }

    /// Turns row i − 1 into row i, whose word is `word`.
    fn advance(&mut self, i: usize, word: u32) {
        let (before, here) = (self.beam[i - 1].clone(), self.beam[i].clone());
        let mut diagonal = if here.start > 0 { self.row[here.start - 1] } else { FAR };
        self.row[before.start..here.start].fill(FAR);
        let mut left = FAR;
        for (cell, &other) in self.row[here.clone()].iter_mut().zip(&self.reference[here]) {
            let cost = (diagonal + u32::from(word != other)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
    }

    /// Turns row i + 1 of the costs to the end into row i; `word` is the one after row i.
    fn retreat(&mut self, i: usize, word: u32) {
        let (here, after) = (self.beam[i].clone(), self.beam[i + 1].clone());
        let mut diagonal = self.row.get(here.end).copied().unwrap_or(FAR);
        self.row[here.end..after.end].fill(FAR);
        let mut right = FAR;
        for j in here.rev() {
            let next = self.reference.get(j + 1).copied().unwrap_or(NO_WORD);
            let cost = (diagonal + u32::from(word != next)).min(self.row[j] + 1).min(right + 1);
            diagonal = std::mem::replace(&mut self.row[j], cost);
            right = cost;
        }
    }

    fn cells(&self, i: usize) -> Range<usize> {
        i * self.width..i * self.width + self.beam[i].len()
    }

    fn cost(&self, i: usize, j: usize) -> u32 {
        if self.beam[i].contains(&j) { self.from_start[i * self.width + j - self.beam[i].start] } else { FAR }
    }

    /// Aligns the hypothesis filled in.
    pub fn align(&self, hypothesis: &[u32], to: &mut Alignment) {
        to.trace(hypothesis, &self.reference[1..], |i, j| self.cost(i, j));
    }
}

/// The columns of each row that the beam lets through.
fn lay_beam(hypothesis: usize, reference: usize, beam: &mut Vec<Range<usize>>) {
    let ratio = reference as f64 / hypothesis as f64;
    // with very different lengths the beams of two rows would not meet
    let width = if (BEAM_WIDTH as f64) < ratio / 2.0 { (ratio / 2.0 + BEAM_WIDTH as f64).ceil() as usize } else { BEAM_WIDTH };
    let columns = |i: usize| {
        let middle = (i as f64 * ratio).floor() as usize;
        middle.saturating_sub(width)..(middle + width).min(reference + 1)
    };
    beam.clear();
    // the table's first row is whole, but no more of it is looked at
    beam.push(0..columns(1).end);
    beam.extend((1..=hypothesis).map(columns));
}

/// The whole table, anew for each hypothesis.
#[cfg(test)]
mod naive {
    use super::{FAR, lay_beam};

    pub fn distance(hypothesis: &[u32], reference: &[u32], in_beam: bool) -> u32 {
        let mut beam = vec![];
        lay_beam(hypothesis.len(), reference.len(), &mut beam);
        let mut above: Vec<u32> = (0..=reference.len() as u32).collect();
        for (i, word) in hypothesis.iter().enumerate() {
            let mut row = vec![FAR; above.len()];
            for j in if in_beam { beam[i + 1].clone() } else { 0..row.len() } {
                row[j] = above[j] + 1;
                if j > 0 {
                    row[j] = row[j].min(row[j - 1] + 1).min(above[j - 1] + u32::from(*word != reference[j - 1]));
                }
            }
            above = row;
        }
        above[reference.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % limit
        }

        fn text(&mut self, length: usize, kinds: usize) -> Vec<u32> {
            (0..length).map(|_| 1 + self.below(kinds - 1) as u32).collect()
        }

        /// A hypothesis and a reference of very different shapes; some have their likeness along an edge of the beam.
        fn pair(&mut self, shape: usize, kinds: usize) -> (Vec<u32>, Vec<u32>) {
            let (short, tall) = (1 + self.below(6), 1 + self.below(330));
            let (by, rest) = (24 + self.below(4), 30 + self.below(20));
            let words = self.text(150, kinds);
            let thinned: Vec<u32> = words.iter().copied().filter(|_| self.below(3) > 0).collect();
            let (before, after) = (self.text(by, kinds), self.text(rest, kinds));
            match shape {
                0 => (self.text(short, kinds), self.text(tall, kinds)),
                1 => (self.text(tall, kinds), self.text(short, kinds)),
                2 => (self.text(1 + by, kinds), self.text(rest, kinds)),
                3 => ([&words[..], &after].concat(), [&before[..], &thinned].concat()),
                4 => ([&after[..], &words].concat(), [&thinned[..], &before].concat()),
                5 => ([&words[..], &after[..by]].concat(), [&before[..], &words].concat()),
                _ => ([&before[..], &thinned].concat(), words),
            }
        }
    }

    #[test]
    fn distances_of_moved_words_are_those_of_the_whole_table() {
        let mut random = Random(1);
        let mut edits = Edits::default();
        let mut beam_matters = 0;
        for round in 0..300 {
            let kinds = [3, 9, 100][round % 3];
            let (mut words, reference) = random.pair(round % 7, kinds);
            edits.begin(words.len(), &reference, kinds);
            let mut distance = edits.fill(&words, 0..words.len());
            for _ in 0..8 {
                assert_eq!(distance, naive::distance(&words, &reference, true), "{words:?} {reference:?}");
                beam_matters += usize::from(distance != naive::distance(&words, &reference, false));
                let start = random.below(words.len());
                let moved = start..start + 1 + random.below(10.min(words.len() - start));
                words[moved.clone()].rotate_left(random.below(moved.len()));
                let expected = naive::distance(&words, &reference, true);
                assert_eq!(edits.distance(&words, moved.clone()), expected, "{words:?} {reference:?}");
                assert_eq!(edits.distance_by_cells(&words, moved.clone()), expected, "{words:?} {reference:?}");
                distance = edits.fill(&words, moved);
            }
        }
        assert!(beam_matters > 100, "{beam_matters}");
    }
}
