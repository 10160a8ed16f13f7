//! The words of a hypothesis under dense numbers, and a reference reduced to them.

const ABSENT: u32 = u32::MAX;

/// Dense numbers for the words of the hypothesis at hand; keeps its tables.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// word's dense number or [`ABSENT`], by its number in the vocabulary
    numbers: Vec<u32>,
    /// word by its dense number
    words: Vec<u32>,
    /// how often the hypothesis has each word, and how many of these are not matched yet
    counts: Vec<u32>,
    left: Vec<u32>,
    /// The hypothesis.
    pub text: Vec<u32>,
    /// Those words of the reference that the hypothesis has.
    pub pattern: Vec<u32>,
}

impl Shared {
    /// Numbers the words of a hypothesis.
    pub fn begin(&mut self, hypothesis: &[u32]) {
        for &word in &self.words {
            self.numbers[word as usize] = ABSENT;
        }
        self.words.clear();
        self.counts.clear();
        self.text.clear();
        let needed = hypothesis.iter().max().map_or(0, |&most| most as usize + 1);
        if self.numbers.len() < needed {
            self.numbers.resize(needed, ABSENT);
        }
        for &word in hypothesis {
            let number = &mut self.numbers[word as usize];
            if *number == ABSENT {
                *number = self.words.len() as u32;
                self.words.push(word);
                self.counts.push(0);
            }
            self.counts[*number as usize] += 1;
            self.text.push(*number);
        }
    }

    /// How many different words the hypothesis has.
    pub fn distinct(&self) -> usize {
        self.words.len()
    }

    /// Makes `pattern` of a reference or a sentence of it.
    pub fn reduce(&mut self, reference: &[u32]) {
        self.pattern.clear();
        let known = reference.iter().filter_map(|&word| self.numbers.get(word as usize)).filter(|&&number| number != ABSENT);
        self.pattern.extend(known);
    }

    /// Makes all words of the hypothesis free to be matched.
    pub fn release(&mut self) {
        self.left.clone_from(&self.counts);
    }

    /// Matches the words of `pattern` whose bits are set, each at most as often as the hypothesis has it; returns how many.
    pub fn claim(&mut self, bits: &[u64]) -> usize {
        let mut matches = 0;
        for (&block, words) in bits.iter().zip(self.pattern.chunks(64)) {
            let mut block = block;
            while block != 0 {
                let left = &mut self.left[words[block.trailing_zeros() as usize] as usize];
                matches += usize::from(*left > 0);
                *left = left.saturating_sub(1);
                block &= block - 1;
            }
        }
        matches
    }
}
