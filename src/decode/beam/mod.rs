//! Beam search, as `_beam_search` of transformers 5.23 does it for a batch of one document.
//!
//! Each document keeps B = `num_beams` running beams and B finished hypotheses ([`document`]). A step takes K = max(2, 1 + number of
//! end tokens)·B continuations ([`candidates`]), so that B of them can run on even if every beam ends. Where tokens are drawn
//! (`do_sample`), the K are drawn without replacement.
//!
//! The running beams of a document start out equal with scores 0, −1e9, −1e9, …: they share one row of the state until the first
//! step has told them apart.

mod candidates;
mod document;

use super::process::{Chain, Row, log_softmax};
use super::search::{Hypothesis, Logits, Move, Start, Step, Strategy};
use super::settings::Generation;
use crate::error::Result;
use document::Document;
use rayon::prelude::*;

/// The documents of a batch.
pub(super) struct Beams<'m> {
    settings: &'m Generation,
    chain: Chain,
    documents: Vec<Document>,
}

impl<'m> Beams<'m> {
    /// Beams at their starts.
    pub fn new(settings: &'m Generation, starts: Vec<Start>) -> Self {
        let document = |(number, start)| Document::new(number, start, settings);
        Self { settings, chain: Chain::new(settings), documents: starts.into_iter().enumerate().map(document).collect() }
    }

    /// The processed log-probabilities of all rows of the state. (b, v)
    fn scores(&self, logits: &Logits) -> Result<Vec<Vec<f32>>> {
        let rows: Vec<_> = self.documents.iter().filter(|d| !d.over).flat_map(Document::rows).collect();
        let score = |(row, &(document, tokens, lengths)): (usize, &(usize, &[u32], _))| {
            let mut scores = logits.row(row, document)?;
            log_softmax(&mut scores);
            self.chain.apply(&Row { tokens, lengths }, &mut scores);
            Ok(scores)
        };
        rows.par_iter().enumerate().map(score).collect()
    }
}

impl Strategy for Beams<'_> {
    fn advance(&mut self, logits: &Logits) -> Result<Move> {
        let scores = self.scores(logits)?;
        let settings = self.settings;
        let mut rest = scores.as_slice();
        let mut alive = Vec::new();
        for document in self.documents.iter_mut().filter(|d| !d.over) {
            let (own, others) = rest.split_at(document.width());
            alive.push((scores.len() - rest.len(), own, document));
            rest = others;
        }
        let tokens = alive.iter().map(|(_, _, d)| (d.number, None)).collect();
        alive.par_iter_mut().for_each(|(_, own, document)| document.advance(own, settings));
        let (mut keep, mut next) = (Vec::new(), Vec::new());
        for (base, _, document) in alive.iter().filter(|(_, _, d)| !d.over) {
            keep.extend(document.parents().map(|row| base + row));
            next.extend(document.last_tokens());
        }
        Ok(Move { step: Step { tokens }, keep, next })
    }

    fn finish(self: Box<Self>) -> Vec<Vec<Hypothesis>> {
        let settings = self.settings;
        self.documents.into_iter().map(|d| d.finish(settings)).collect()
    }
}
