//! Which words answer to each other once the edits are known.

/// How a hypothesis lies against the reference.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    /// words of the hypothesis up to and with the one that answers to the last of the first j words of the reference
    pub after: Vec<usize>,
    /// words of the hypothesis that are replaced or deleted
    pub hypothesis_wrong: Vec<bool>,
    /// words of the reference that replace one or are inserted
    pub reference_wrong: Vec<bool>,
}

impl Alignment {
    /// Walks back from the last cell of the edit table, `cost(i, j)` being the cost of the first i words of the hypothesis and j of the
    /// reference. Of equal ways it takes sacreBLEU's: keep or replace, else delete, else insert.
    pub fn trace(&mut self, hypothesis: &[u32], reference: &[u32], cost: impl Fn(usize, usize) -> u32) {
        let (mut i, mut j) = (hypothesis.len(), reference.len());
        self.reset(i, j);
        while i > 0 || j > 0 {
            let here = cost(i, j);
            let wrong = i == 0 || j == 0 || hypothesis[i - 1] != reference[j - 1];
            if i > 0 && j > 0 && cost(i - 1, j - 1) + u32::from(wrong) == here {
                self.after[j] = i;
                (i, j) = (i - 1, j - 1);
                self.hypothesis_wrong[i] = wrong;
                self.reference_wrong[j] = wrong;
            } else if i > 0 && cost(i - 1, j) + 1 == here {
                i -= 1;
            } else {
                self.after[j] = i;
                j -= 1;
            }
        }
    }

    fn reset(&mut self, hypothesis: usize, reference: usize) {
        self.after.clear();
        self.after.resize(reference + 1, 0);
        self.hypothesis_wrong.clear();
        self.hypothesis_wrong.resize(hypothesis, true);
        self.reference_wrong.clear();
        self.reference_wrong.resize(reference, true);
    }
}
