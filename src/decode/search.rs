//! The loop: feed the model one token a row, let a strategy choose, keep the rows that go on. An iterator of [`Step`]s.
//!
//! Rows never meet: what a document yields does not depend on its neighbours, and a row that has ended leaves the [`State`] at
//! once. Each document is read by the model once, however many hypotheses start from it: the rows multiply after the first step.

use super::beam::Beams;
use super::greedy::Greedy;
use super::rows::Rows;
use super::sample::Draw;
use super::settings::Generation;
use super::stop::{Finish, Lengths};
use crate::error::{Error, Result};
use crate::kernel::{on_the_pool, slice};
use crate::memory::State;
use crate::model::Model;
use crate::timing::phases::Phase;
use candle_core::Tensor;

/// One decoding step of the whole batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Document and chosen token of each row that was alive in this step (one a document in beam search, where the token is
    /// undecided until the end).
    pub tokens: Vec<(usize, Option<u32>)>,
}

/// One text that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Prompt and new tokens, the end token included, no padding.
    pub tokens: Vec<u32>,
    /// Beam search: sum of the log-probabilities over length^`length_penalty` (`sequences_scores` of transformers).
    pub score: Option<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// A way to choose tokens, with all that it remembers of the batch.
pub(super) trait Strategy: Send {
    /// Chooses from the logits of the rows of the state.
    fn advance(&mut self, logits: &Logits) -> Result<Move>;
    /// What was found, a list a document, best first.
    fn finish(self: Box<Self>) -> Vec<Vec<Hypothesis>>;
}

/// What follows from a step.
pub(super) struct Move {
    pub step: Step,
    /// For each row of the next step the row of this one that it continues; empty: all is over.
    pub keep: Vec<usize>,
    /// The tokens of the next step, one for each of `keep`.
    pub next: Vec<u32>,
}

/// The model's answer to one step, as plain numbers.
pub(super) struct Logits {
    values: Vec<f32>, // (b, v)
    vocabulary: usize,
}

impl Logits {
    fn new(logits: &Tensor) -> Result<Self> {
        let (_, vocabulary) = logits.dims2()?;
        Ok(Self { values: slice(logits, <[f32]>::to_vec)?, vocabulary })
    }

    /// A copy of a row. Fails if a value is no number: an argmax would go on in silence.
    pub fn row(&self, row: usize, document: usize) -> Result<Vec<f32>> {
        let scores = self.values[row * self.vocabulary..(row + 1) * self.vocabulary].to_vec();
        // the bits of finite numbers without their signs are below those of infinity: one quick look is enough, nearly always
        let top = scores.iter().fold(0, |top, s| (s.to_bits() & 0x7FFF_FFFF).max(top));
        let broken = || scores.iter().any(|s| s.is_nan() || *s == f32::INFINITY) || scores.iter().all(|s| *s == f32::NEG_INFINITY);
        if top >= f32::INFINITY.to_bits() && broken() {
            let message = format!("the model produced a value that is not a number (row {} of the batch)", document + 1);
            return Err(Error::new(message).hint("check the weights with `effattn inspect`"));
        }
        Ok(scores)
    }
}

/// A search under way: iterate to advance it, then [`Search::finish`].
pub struct Search<'m> {
    model: &'m dyn Model,
    state: State,
    next: Vec<u32>,
    strategy: Box<dyn Strategy + 'm>,
}

/// Starts the search that the settings ask for.
///
/// `prompts[i]` are the decoder's tokens of document i so far, whose last one is `first[i]` as returned by [`Model::encode`];
/// `seeds[i]` is the document's own seed ([`super::seed_of`]), read only where tokens are drawn.
pub fn search<'m>(
    model: &'m dyn Model,
    mut state: State,
    first: Vec<u32>,
    prompts: Vec<Vec<u32>>,
    seeds: &[u64],
    settings: &'m Generation,
) -> Result<Search<'m>> {
    if settings.num_beams > 1 {
        return beam_search(model, state, first, prompts, seeds, settings);
    }
    let starts = starts(model, &mut state, &first, prompts, seeds, settings)?;
    let strategy: Box<dyn Strategy> = if settings.do_sample {
        Box::new(Rows::new(settings, starts, Draw::new))
    } else {
        Box::new(Rows::new(settings, starts, |_, _| Greedy))
    };
    Ok(Search { model, state, next: first, strategy })
}

/// Starts a beam search, also where [`Generation::num_beams`] is 1 (which [`search`] takes for greedy).
pub fn beam_search<'m>(
    model: &'m dyn Model,
    mut state: State,
    first: Vec<u32>,
    prompts: Vec<Vec<u32>>,
    seeds: &[u64],
    settings: &'m Generation,
) -> Result<Search<'m>> {
    let starts = starts(model, &mut state, &first, prompts, seeds, settings)?;
    Ok(Search { model, state, next: first, strategy: Box::new(Beams::new(settings, starts)) })
}

/// New tokens that room is made for at once: more may never come, and take the memory of a small machine. Beyond, room doubles as it is needed.
const AHEAD: usize = 1 << 14;

/// Positions to make room for.
fn room(lengths: &Lengths) -> usize {
    lengths.max.min(lengths.prompt.saturating_add(AHEAD))
}

/// Where a document's search begins.
pub(super) struct Start {
    pub prompt: Vec<u32>,
    pub lengths: Lengths,
    pub seed: u64,
}

fn starts(
    model: &dyn Model,
    state: &mut State,
    first: &[u32],
    prompts: Vec<Vec<u32>>,
    seeds: &[u64],
    settings: &Generation,
) -> Result<Vec<Start>> {
    settings.check()?;
    settings.check_vocabulary(model.info().vocab_size)?;
    let counts = [state.rows(), first.len(), prompts.len(), seeds.len()];
    if counts.iter().any(|&c| c != counts[0]) {
        return Err(Error::new(format!("a search needs as many rows as tokens, prompts and seeds, not {counts:?}")));
    }
    let start = |(document, prompt): (usize, Vec<u32>)| {
        if prompt.last() != Some(&first[document]) {
            return Err(Error::new(format!("the prompt of document {} does not end with its first token", document + 1)));
        }
        let lengths = settings.lengths(prompt.len(), model.info().max_target)?;
        Ok(Start { prompt, lengths, seed: seeds[document] })
    };
    let starts: Vec<Start> = prompts.into_iter().enumerate().map(start).collect::<Result<_>>()?;
    state.reserve(starts.iter().map(|s| room(&s.lengths)).max().unwrap_or(0));
    Ok(starts)
}

impl Search<'_> {
    /// What was found: for each document `num_return_sequences` hypotheses, best first.
    ///
    /// A search that is left early gives what it has, with [`Finish::Length`].
    pub fn finish(self) -> Vec<Vec<Hypothesis>> {
        self.strategy.finish()
    }

    /// Bytes of state that the rows hold at present.
    pub fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    fn advance(&mut self) -> Result<Step> {
        let logits = self.model.step(&self.next, &mut self.state)?;
        let probe = self.state.probe.clone();
        probe.time(Phase::Sampling, || {
            let Move { step, keep, next } = self.strategy.advance(&Logits::new(&logits)?)?;
            let same = keep.len() == self.state.rows() && keep.iter().enumerate().all(|(i, &row)| i == row);
            if !keep.is_empty() && !same {
                self.state.select(&keep)?;
            }
            self.next = next;
            Ok(step)
        })
    }
}

impl Iterator for Search<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next.is_empty() {
            return None;
        }
        let step = on_the_pool(|| self.advance());
        if step.is_err() {
            self.next.clear();
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model without positions has no end: what is asked for is no measure of what comes.
    #[test]
    fn room_is_made_for_what_may_well_come() {
        let of = |prompt, max| room(&Lengths { prompt, min: 0, max });
        assert_eq!([of(1, 20), of(60_000, 60_128), of(1, 1 << 31), of(9, usize::MAX)], [20, 60_128, 1 + AHEAD, 9 + AHEAD]);
    }
}
