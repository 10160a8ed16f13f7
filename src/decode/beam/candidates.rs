//! The K continuations that a step of beam search looks at.

use crate::decode::sample::Draw;

/// A beam continued by a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub beam: usize,
    pub token: u32,
    /// Sum of the processed log-probabilities.
    pub total: f32,
}

/// The best `k` of things that come in their order, by a key; of equals the earlier comes first.
struct Best<T> {
    k: usize,
    kept: Vec<(f64, T)>,
}

impl<T> Best<T> {
    fn offer(&mut self, key: f64, thing: impl FnOnce() -> T) {
        if self.kept.len() == self.k {
            match self.kept.last() {
                Some((worst, _)) if key > *worst => _ = self.kept.pop(),
                _ => return,
            }
        }
        let place = self.kept.partition_point(|(other, _)| *other >= key);
        self.kept.insert(place, (key, thing()));
    }
}

/// The places of the `k` highest scores, highest first; of equals the lower place first.
pub(super) fn top(scores: impl Iterator<Item = f32>, k: usize) -> Vec<usize> {
    let mut best = Best { k, kept: Vec::with_capacity(k + 1) };
    scores.enumerate().for_each(|(place, score)| best.offer(f64::from(score), || place));
    best.kept.into_iter().map(|(_, place)| place).collect()
}

/// The `k` best continuations by total, or `k` drawn without replacement by the softmax of the totals, in the order of the draw.
///
/// `beams` gives each beam's score so far and the log-probabilities of its next token.
pub(super) fn candidates<'a>(beams: impl Iterator<Item = (f32, &'a [f32])>, k: usize, mut draw: Option<&mut Draw>) -> Vec<Candidate> {
    let mut best = Best { k, kept: Vec::with_capacity(k + 1) };
    for (beam, (score, scores)) in beams.enumerate() {
        for (token, log) in scores.iter().enumerate() {
            let total = log + score;
            let key = draw.as_mut().map_or(f64::from(total), |d| d.perturb(total));
            best.offer(key, || Candidate { beam, token: token as u32, total });
        }
    }
    best.kept.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_earlier_comes_first() {
        assert_eq!(top([1.0, 3.0, 3.0, 2.0, 3.0].into_iter(), 3), [1, 2, 4]);
        assert_eq!(top([1.0, f32::NEG_INFINITY].into_iter(), 3), [0, 1]);
        let found = candidates([(0.0, &[-1.0, -2.0][..]), (-1.0, &[0.0, -3.0][..])].into_iter(), 3, None);
        let place = |c: &Candidate| (c.beam, c.token, c.total);
        assert_eq!(found.iter().map(place).collect::<Vec<_>>(), [(0, 0, -1.0), (1, 0, -1.0), (0, 1, -2.0)]);
    }
}
