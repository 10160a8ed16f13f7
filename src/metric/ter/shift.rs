//! The greedy search for shifts: the block move that saves most edits, again and again (Snover et al., 2006, algorithm 1).
//!
//! sacreBLEU stops for good once it has tried 1,000 moves in all, and then forgets the best move of the round it is in. So the moves
//! of a round are listed first, and a round that reaches the limit is not computed.

use super::align::Alignment;
use super::edit::Edits;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::ops::Range;

const MAX_SHIFT_SIZE: usize = 10;
const MAX_SHIFT_DISTANCE: usize = 50;
const MAX_CANDIDATES: usize = 1000;

/// Counts edits; keeps its tables from pair to pair.
#[derive(Debug, Default)]
pub(super) struct Shifter {
    /// numbers 1, 2, … for the words of this reference; every other word is 0
    kinds: FxHashMap<u32, u32>,
    reference: Vec<u32>,
    occurrences: Occurrences,
    /// the hypothesis as far as it is shifted
    words: Vec<u32>,
    edits: Edits,
    alignment: Alignment,
    moves: Vec<Move>,
}

impl Shifter {
    /// The number of shifts, insertions, deletions and substitutions that turn `hypothesis` into `reference`.
    pub fn edits(&mut self, hypothesis: &[u32], reference: &[u32]) -> usize {
        if hypothesis.is_empty() || reference.is_empty() {
            return hypothesis.len() + reference.len();
        }
        self.renumber(hypothesis, reference);
        self.edits.begin(hypothesis.len(), &self.reference, self.kinds.len() + 1);
        let (mut shifts, mut tried, mut moved) = (0, 0, 0..hypothesis.len());
        loop {
            let distance = self.edits.fill(&self.words, moved);
            self.edits.align(&self.words, &mut self.alignment);
            self.list_moves(MAX_CANDIDATES - tried);
            tried += self.moves.len();
            let best = if tried < MAX_CANDIDATES { self.best_move(distance) } else { None };
            let Some(best) = best else { return shifts + distance as usize };
            moved = best.apply(&mut self.words);
            shifts += 1;
        }
    }

    fn renumber(&mut self, hypothesis: &[u32], reference: &[u32]) {
        let Self { kinds, reference: numbers, occurrences, words, .. } = self;
        kinds.clear();
        numbers.clear();
        for &word in reference {
            let next = kinds.len() as u32 + 1;
            numbers.push(*kinds.entry(word).or_insert(next));
        }
        occurrences.fill(numbers, kinds.len() + 1);
        words.clear();
        words.extend(hypothesis.iter().map(|word| kinds.get(word).copied().unwrap_or(0)));
    }

    /// Lists the moves worth a try, `room` of them or more if there are so many: blocks that stand in the reference at another place,
    /// where neither the block nor that place is free of errors.
    fn list_moves(&mut self, room: usize) {
        let Self { reference, occurrences, words, alignment, moves, .. } = self;
        moves.clear();
        for (start, &word) in words.iter().enumerate() {
            let places = occurrences.of(word);
            let first = places.partition_point(|&place| place + MAX_SHIFT_DISTANCE < start);
            for &place in places[first..].iter().take_while(|&&place| place <= start + MAX_SHIFT_DISTANCE) {
                list_moves_to(start, place, (words, reference), alignment, moves);
                if moves.len() >= room {
                    return;
                }
            }
        }
    }

    /// The move that saves most edits; of those the longest, then the earliest, then the one that goes furthest to the front.
    fn best_move(&mut self, distance: u32) -> Option<Move> {
        let mut best = None;
        for &candidate in &self.moves {
            let moved = candidate.apply(&mut self.words);
            let after = self.edits.distance(&self.words, moved.clone());
            candidate.undo(&mut self.words[moved]);
            if after < distance {
                let rank = (Reverse(after), candidate.length, Reverse(candidate.start), Reverse(candidate.target));
                best = best.max(Some((rank, candidate)));
            }
        }
        best.map(|(_, candidate)| candidate)
    }
}

/// A block of words to be put before another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    start: usize,
    length: usize,
    /// where it goes, counted before the block is taken out; inside the block: that many words further back
    target: usize,
}

impl Move {
    /// Moves the block; the words that this touches.
    fn apply(self, words: &mut [u32]) -> Range<usize> {
        let end = self.start + self.length;
        if self.target < self.start {
            words[self.target..end].rotate_right(self.length);
            return self.target..end;
        }
        let last = if self.target > end { self.target } else { words.len().min(self.target + self.length) };
        words[self.start..last].rotate_left(self.length);
        self.start..last
    }

    /// Takes [`Move::apply`] back, given what it touched.
    fn undo(self, moved: &mut [u32]) {
        if self.target < self.start {
            moved.rotate_left(self.length);
        } else {
            moved.rotate_right(self.length);
        }
    }
}

/// Lists the moves of the blocks that begin at `start` and stand in the reference at `place`.
fn list_moves_to(start: usize, place: usize, (words, reference): (&[u32], &[u32]), alignment: &Alignment, moves: &mut Vec<Move>) {
    let (mut block_wrong, mut place_wrong) = (false, false);
    let pairs = words[start..].iter().zip(&reference[place..]);
    let equal = pairs.take(MAX_SHIFT_SIZE).take_while(|(word, other)| word == other).count();
    for length in 1..=equal {
        let (last, after) = (start + length - 1, alignment.after[place + 1]);
        block_wrong |= alignment.hypothesis_wrong[last];
        place_wrong |= alignment.reference_wrong[place + length - 1];
        let within_itself = start < after && after <= start + length;
        if !block_wrong || !place_wrong || within_itself {
            continue;
        }
        let mut previous = None;
        for &target in &alignment.after[place..=place + length] {
            if previous != Some(target) {
                moves.push(Move { start, length, target });
            }
            previous = Some(target);
        }
    }
}

/// Where each word of a reference stands, in order.
#[derive(Debug, Default)]
struct Occurrences {
    /// in `places`, a word's own begin where those of the word before end
    ends: Vec<usize>,
    places: Vec<usize>,
}

impl Occurrences {
    /// Notes the places of `words`, which are 1, 2, …, below `kinds`.
    fn fill(&mut self, words: &[u32], kinds: usize) {
        self.ends.clear();
        self.ends.resize(kinds + 1, 0);
        for &word in words {
            self.ends[word as usize + 1] += 1;
        }
        for word in 1..kinds {
            self.ends[word + 1] += self.ends[word];
        }
        self.places.clear();
        self.places.resize(words.len(), 0);
        for (place, &word) in words.iter().enumerate() {
            let at = &mut self.ends[word as usize];
            self.places[*at] = place;
            *at += 1;
        }
    }

    fn of(&self, word: u32) -> &[usize] {
        match word {
            0 => &[],
            _ => &self.places[self.ends[word as usize - 1]..self.ends[word as usize]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, …, n − 1 with a block put elsewhere.
    fn moved(n: u32, start: usize, length: usize, to: usize) -> Vec<u32> {
        let mut words: Vec<u32> = (0..n).collect();
        let block: Vec<u32> = words.drain(start..start + length).collect();
        words.splice(to..to, block);
        words
    }

    fn text(n: usize, kinds: u32, mut x: u32) -> Vec<u32> {
        let mut next = || {
            x = x.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
            (x >> 16) % kinds
        };
        (0..n).map(|_| next()).collect()
    }

    /// Edits as sacreBLEU 2.6.0's `translation_edit_rate` counts them.
    #[test]
    fn edits_are_sacrebleus() {
        let mut shifter = Shifter::default();
        let range = |from: u32, to: u32| -> Vec<u32> { (from..to).collect() };
        let ladder = |n: u32| range(0, n);
        let both = |a: Vec<u32>, b: Vec<u32>| [a, b].concat();
        let letters = |word: &str| -> Vec<u32> { word.bytes().map(u32::from).collect() };
        for (what, hypothesis, reference, expected) in [
            ("50 words far", moved(70, 0, 1, 50), ladder(70), 1),
            ("51 words far", moved(70, 0, 1, 51), ladder(70), 2),
            ("50 words far to the front", moved(70, 50, 1, 0), ladder(70), 1),
            ("51 words far to the front", moved(70, 51, 1, 0), ladder(70), 2),
            ("10 words at once", moved(60, 5, 10, 30), ladder(60), 1),
            ("11 words at once", moved(60, 5, 11, 30), ladder(60), 2),
            ("1,000 candidates in the first round", text(40, 4, 1), text(40, 4, 2), 17),
            ("1,000 candidates in some rounds", text(40, 4, 3), text(45, 4, 4), 24),
            ("just 999 candidates before the last move", text(30, 4, 8544), text(30, 4, 8545), 13),
            ("just 1,000 candidates", text(31, 4, 74_264), text(30, 4, 74_265), 14),
            ("along the lower edge of the beam", both(range(100, 125), range(0, 80)), both(range(0, 80), range(200, 225)), 50),
            ("below the beam", both(range(100, 126), range(0, 80)), both(range(0, 80), range(200, 226)), 106),
            ("along the upper edge of the beam", both(range(0, 80), range(200, 224)), both(range(100, 124), range(0, 80)), 48),
            ("above the beam", both(range(0, 80), range(200, 225)), both(range(100, 125), range(0, 80)), 105),
            ("75 times as long", text(2, 3, 11), text(150, 3, 12), 148),
            ("a 75th as long", text(150, 3, 12), text(2, 3, 11), 148),
            ("50 times as long", text(3, 40, 15), text(150, 40, 16), 148),
            ("deletion before insertion", letters("caacb"), letters("bbccab"), 4),
            ("a target within the block", letters("aacbccba"), letters("bbcaaacb"), 3),
            ("the target furthest to the front", letters("cmspkkt"), letters("cksigrmpon"), 7),
            ("targets that come twice", letters("bbaaabbaabaabbbabaababbbaab"), letters("bbbbbabababbbbbbaabaaaaabaaa"), 6),
        ] {
            assert_eq!(shifter.edits(&hypothesis, &reference), expected, "{what}");
        }
    }
}
