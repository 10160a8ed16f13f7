//! The beam search of one document: its running beams, its finished hypotheses, and when it is over.

use super::candidates::{Candidate, candidates, top};
use crate::decode::sample::Draw;
use crate::decode::search::{Hypothesis, Start};
use crate::decode::settings::{EarlyStopping, Generation};
use crate::decode::stop::{Finish, Lengths, ended};

/// Added to a score to put it behind all others, as transformers does: it swallows the score itself in f32.
const OUT: f32 = -1.0e9;

struct Beam {
    tokens: Vec<u32>,
    /// Sum of the processed log-probabilities.
    score: f32,
    /// Its row among the document's rows of the state, before the next selection: the row that it continues.
    parent: usize,
}

/// A place among the finished; `OUT` and not done as long as nobody took it.
#[derive(Clone)]
struct Finished {
    tokens: Vec<u32>,
    score: f32,
    done: bool,
}

pub(super) struct Document {
    /// Its place in the batch.
    pub number: usize,
    /// Whether its search has come to an end.
    pub over: bool,
    lengths: Lengths,
    running: Vec<Beam>,
    finished: Vec<Finished>,
    draw: Option<Draw>,
    /// Before the first step all beams share one row.
    fresh: bool,
}

impl Document {
    pub fn new(number: usize, start: Start, settings: &Generation) -> Self {
        let beam = |i| Beam { tokens: start.prompt.clone(), score: if i == 0 { 0.0 } else { OUT }, parent: 0 };
        Self {
            number,
            over: false,
            lengths: start.lengths,
            running: (0..settings.num_beams).map(beam).collect(),
            finished: vec![Finished { tokens: start.prompt.clone(), score: OUT, done: false }; settings.num_beams],
            draw: settings.do_sample.then(|| Draw::new(start.seed, 0)),
            fresh: true,
        }
    }

    /// Rows of the state that it has.
    pub fn width(&self) -> usize {
        if self.fresh { 1 } else { self.running.len() }
    }

    /// Number, tokens and lengths, for each row of the state that it has.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &[u32], Lengths)> {
        self.running[..self.width()].iter().map(|b| (self.number, b.tokens.as_slice(), self.lengths))
    }

    /// For each row of the next step the row among its own that it continues.
    pub fn parents(&self) -> impl Iterator<Item = usize> {
        self.running.iter().map(|b| b.parent)
    }

    /// The tokens of the next step.
    pub fn last_tokens(&self) -> impl Iterator<Item = u32> {
        self.running.iter().filter_map(|b| b.tokens.last().copied())
    }

    /// One step, by the processed log-probabilities of its rows.
    pub fn advance(&mut self, scores: &[Vec<f32>], settings: &Generation) {
        let wide = settings.eos.len().max(1) + 1; // K / B
        let shared = self.fresh;
        let row = |beam: usize| if shared { 0 } else { beam };
        let beams = self.running.iter().enumerate().map(|(i, b)| (b.score, scores[row(i)].as_slice()));
        let found = candidates(beams, wide * self.running.len(), self.draw.as_mut());
        let length = self.length() + 1;
        let hits: Vec<bool> = found.iter().map(|c| ended(c.token, length, &self.lengths, &settings.eos).is_some()).collect();
        self.collect(&found, &hits, settings);
        let alone = |(c, hit): (&Candidate, &bool)| if *hit { c.total + OUT } else { c.total };
        let ranked: Vec<f32> = found.iter().zip(&hits).map(alone).collect();
        let next = top(ranked.iter().copied(), self.running.len()).into_iter().map(|place| {
            let Candidate { beam, token, .. } = found[place];
            Beam { tokens: self.extended(beam, token), score: ranked[place], parent: row(beam) }
        });
        self.running = next.collect();
        self.fresh = false;
        let full = self.finished.iter().all(|f| f.done) && settings.early_stopping == EarlyStopping::True;
        self.over = full || !self.improvable(settings) || hits.iter().all(|hit| *hit);
    }

    fn length(&self) -> usize {
        self.running.first().map_or(0, |b| b.tokens.len())
    }

    fn extended(&self, beam: usize, token: u32) -> Vec<u32> {
        self.running[beam].tokens.iter().copied().chain([token]).collect()
    }

    /// Lets the candidates that ended, and are among the first B, compete for the places of the finished.
    ///
    /// transformers also keeps out candidates of documents whose search is over: such documents are gone here.
    fn collect(&mut self, found: &[Candidate], hits: &[bool], settings: &Generation) {
        let places = self.finished.len();
        let norm = self.norm(self.length() + 1, settings);
        for (rank, candidate) in found.iter().enumerate() {
            let done = hits[rank] && rank < places;
            let score = candidate.total / norm + if done { 0.0 } else { OUT };
            self.finished.push(Finished { tokens: self.extended(candidate.beam, candidate.token), score, done });
        }
        let best = top(self.finished.iter().map(|f| f.score), places);
        self.finished = best.into_iter().map(|place| self.finished[place].clone()).collect();
    }

    /// (new tokens)^`length_penalty`
    fn norm(&self, length: usize, settings: &Generation) -> f32 {
        ((length - self.lengths.prompt) as f64).powf(settings.length_penalty) as f32
    }

    /// `_check_early_stop_heuristic`: whether the best running beam may still beat the worst finished hypothesis.
    fn improvable(&self, settings: &Generation) -> bool {
        let longest = settings.early_stopping == EarlyStopping::Never && settings.length_penalty > 0.0;
        let length = if longest { self.lengths.max } else { self.length() };
        let best = self.running.first().map_or(OUT, |b| b.score) / self.norm(length, settings);
        let worst = self.finished.iter().map(|f| f.score).fold(f32::INFINITY, f32::min);
        self.finished.iter().any(|f| best > if f.done { worst } else { OUT })
    }

    /// The best hypotheses. If the search was left early, running beams take the places that are still free.
    pub fn finish(mut self, settings: &Generation) -> Vec<Hypothesis> {
        if !self.over {
            let length = self.length().max(self.lengths.prompt + 1);
            let norm = self.norm(length, settings);
            let mut waiting = std::mem::take(&mut self.running).into_iter();
            for place in self.finished.iter_mut().filter(|f| !f.done) {
                if let Some(beam) = waiting.next() {
                    *place = Finished { tokens: beam.tokens, score: beam.score / norm, done: false };
                }
            }
        }
        let hypothesis = |f: Finished| {
            let last = f.tokens[self.lengths.prompt..].last();
            let finish = if last.is_some_and(|t| settings.eos.contains(t)) { Finish::Stop } else { Finish::Length };
            Hypothesis { tokens: f.tokens, score: Some(f.score), finish }
        };
        self.finished.into_iter().take(settings.num_return_sequences).map(hypothesis).collect()
    }
}
