//! Greedy search and sampling: rows that each choose their own next token until they end.

use super::process::{Chain, Row};
use super::search::{Hypothesis, Logits, Move, Start, Step, Strategy};
use super::settings::Generation;
use super::stop::{Finish, Lengths, ended};
use crate::error::Result;
use rayon::prelude::*;

/// How a row chooses.
pub(super) trait Pick: Send {
    /// One token, by the processed scores.
    fn pick(&mut self, scores: &[f32]) -> Result<u32>;
}

struct Line<P> {
    document: usize,
    tokens: Vec<u32>,
    lengths: Lengths,
    /// Its row of the state.
    row: usize,
    pick: P,
    finish: Option<Finish>,
}

/// The rows of a batch, `num_return_sequences` a document.
pub(super) struct Rows<'m, P> {
    eos: &'m [u32],
    chain: Chain,
    documents: usize,
    lines: Vec<Line<P>>,
}

impl<'m, P: Pick> Rows<'m, P> {
    /// `pick(seed, sequence)` makes the chooser of one row.
    pub fn new(settings: &'m Generation, starts: Vec<Start>, pick: impl Fn(u64, usize) -> P) -> Self {
        let documents = starts.len();
        let lines = starts.into_iter().enumerate().flat_map(|(document, start)| {
            let line = |sequence| Line {
                document,
                tokens: start.prompt.clone(),
                lengths: start.lengths,
                row: document,
                pick: pick(start.seed, sequence),
                finish: None,
            };
            (0..settings.num_return_sequences).map(line).collect::<Vec<_>>()
        });
        Self { eos: &settings.eos, chain: Chain::new(settings), documents, lines: lines.collect() }
    }
}

impl<P: Pick> Line<P> {
    fn advance(&mut self, logits: &Logits, chain: &Chain, eos: &[u32]) -> Result<(usize, Option<u32>)> {
        let mut scores = logits.row(self.row, self.document)?;
        chain.apply(&Row { tokens: &self.tokens, lengths: self.lengths }, &mut scores);
        let token = self.pick.pick(&scores)?;
        self.tokens.push(token);
        self.finish = ended(token, self.tokens.len(), &self.lengths, eos);
        Ok((self.document, Some(token)))
    }
}

impl<P: Pick> Strategy for Rows<'_, P> {
    fn advance(&mut self, logits: &Logits) -> Result<Move> {
        let alive = self.lines.par_iter_mut().filter(|l| l.finish.is_none());
        let tokens = alive.map(|l| l.advance(logits, &self.chain, self.eos)).collect::<Result<Vec<_>>>()?;
        let (mut keep, mut next) = (Vec::new(), Vec::new());
        for line in self.lines.iter_mut().filter(|l| l.finish.is_none()) {
            keep.push(line.row);
            next.extend(line.tokens.last());
            line.row = keep.len() - 1;
        }
        Ok(Move { step: Step { tokens }, keep, next })
    }

    fn finish(self: Box<Self>) -> Vec<Vec<Hypothesis>> {
        let mut found = vec![Vec::new(); self.documents];
        for line in self.lines {
            let finish = line.finish.unwrap_or(Finish::Length);
            found[line.document].push(Hypothesis { tokens: line.tokens, score: None, finish });
        }
        found
    }
}
