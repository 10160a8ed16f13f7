//! A few documents through the model together, timed.

use super::codec::Codec;
use super::fit::{Overflow, Prepared, Room, fit};
use crate::decode::{Finish, Generation, Step, search};
use crate::error::{Error, Result};
use crate::kernel::on_the_pool;
use crate::model::{Model, Source};
use crate::timing::{Clock, Laps, Timing};
use std::str::FromStr;

/// How many rows go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// As many as keep the batch's work about the same.
    Auto,
    /// So many.
    Rows(usize),
}

/// `auto` takes rows until they have so many tokens together or are so many.
const AUTO: (usize, usize) = (8192, 16);

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => crate::cli::at_least_one(text).map(Self::Rows).map_err(|e| format!("{e}; give a number or `auto`")),
        }
    }
}

impl BatchSize {
    /// Whether somebody asked for company.
    pub fn more_than_one(self) -> bool {
        matches!(self, Self::Rows(n) if n > 1)
    }

    /// How many of the rows that wait, of these lengths, go next; none while there may be room for more.
    pub fn take(self, lengths: impl Iterator<Item = usize>) -> Option<usize> {
        let (most_tokens, most_rows) = match self {
            Self::Auto => AUTO,
            Self::Rows(n) => (usize::MAX, n),
        };
        let (mut tokens, mut rows) = (0usize, 0);
        for length in lengths {
            tokens = tokens.saturating_add(length);
            if rows > 0 && tokens > most_tokens {
                return Some(rows);
            }
            rows += 1;
            if rows == most_rows {
                return Some(rows);
            }
        }
        None
    }
}

/// What decodes documents: everything that a summary depends on, and a clock.
pub struct Decoder<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// From text to tokens and back.
    pub codec: Codec,
    /// The strategy.
    pub generation: &'a Generation,
    /// What to do with documents that are too long.
    pub overflow: Overflow,
    /// Positions with global attention, if they are not the family's.
    pub global: Option<Vec<usize>>,
    /// Tells the time.
    pub clock: &'a dyn Clock,
}

/// A document, or a piece of one, on its way through the model.
#[derive(Debug, Clone)]
pub struct Row {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Seed of its draws.
    pub seed: u64,
}

/// What came out for a row.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Texts, best first.
    pub texts: Vec<String>,
    /// The best one's score.
    pub score: Option<f32>,
    /// Whether the best one ends with a stop token.
    pub stopped: bool,
    /// New tokens of the best one.
    pub n_output: usize,
    /// What it took.
    pub timing: Timing,
}

impl Decoder<'_> {
    /// A document's tokens, within what the model can read.
    pub fn prepare(&self, document: &str) -> Result<Prepared> {
        let prepared = fit(&self.codec.encode(document)?.begin_with(self.model.info().prompt_start), self.room(), self.overflow)?;
        let n = prepared.pieces.iter().map(Vec::len).min().unwrap_or(0);
        match self.global.iter().flatten().find(|&&p| p >= n) {
            Some(position) => Err(Error::new(format!("`--global-tokens` names position {position}, the document has {n} tokens"))
                .hint(format!("positions go from 0 to {}", n.saturating_sub(1)))),
            None => Ok(prepared),
        }
    }

    /// Tokens that a document may have; a decoder-only model needs room for the new ones too.
    fn room(&self) -> Option<Room> {
        let info = self.model.info();
        let settings = self.generation;
        let limit = info.max_source?;
        let new = match settings.max_new_tokens {
            _ if info.encoder_decoder => 0,
            Some(new) => new,
            None if settings.default_length => settings.max_length,
            None => return Some(Room { tokens: limit.min(settings.max_length).saturating_sub(1), limit: limit.min(settings.max_length) }),
        };
        Some(Room { tokens: limit.saturating_sub(new), limit })
    }

    /// Decodes `rows` together. `look` sees each step and says whether to go on; nothing comes back if it does not.
    ///
    /// Only the model and the search are timed: what `look` does is not.
    pub fn run(&self, rows: &[Row], look: &mut dyn FnMut(&Step) -> Result<bool>) -> Result<Option<Vec<Piece>>> {
        let ids: Vec<Vec<u32>> = rows.iter().map(|r| r.ids.clone()).collect();
        let source = Source { global: self.global.as_ref().map(|g| vec![g.clone(); rows.len()]), ..Source::new(ids.clone()) };
        let seeds: Vec<u64> = rows.iter().map(|r| r.seed).collect();
        let mut laps = Laps::start(self.clock);
        let (state, first) = on_the_pool(|| self.model.encode(&source))?;
        let prompts = if self.model.info().encoder_decoder { first.iter().map(|&t| vec![t]).collect() } else { ids };
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let mut search = search(self.model, state, first, prompts, &seeds, self.generation)?;
        let mut timings = vec![Timing::default(); rows.len()];
        for step in search.by_ref() {
            let step = step?;
            let took = laps.lap();
            let mut alive: Vec<usize> = step.tokens.iter().map(|(row, _)| *row).collect();
            alive.sort_unstable();
            alive.dedup();
            for row in alive {
                timings[row].push(took);
            }
            if !look(&step)? {
                return Ok(None);
            }
            laps.skip();
        }
        let found = search.finish().into_iter().zip(lengths).zip(timings);
        let pieces = found.map(|((hypotheses, prompt), timing)| {
            let best = hypotheses.first().ok_or_else(|| Error::new("the search found nothing"))?;
            Ok(Piece {
                score: best.score,
                stopped: best.finish == Finish::Stop,
                n_output: best.tokens.len().saturating_sub(prompt),
                texts: hypotheses.iter().map(|h| self.codec.decode(h.tokens.get(prompt..).unwrap_or(&[]))).collect::<Result<_>>()?,
                timing,
            })
        });
        pieces.collect::<Result<Vec<_>>>().map(Some)
    }
}
