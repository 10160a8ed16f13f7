//! How positions find each other.

use crate::error::{Error, Result};

/// More of rounds times buckets than this would fill the memory with rotations.
const MOST: usize = 1 << 16;

/// Rounds, buckets and chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashing {
    /// Rounds, each with rotations of its own.
    pub rounds: usize,
    /// Buckets of a round, even; 1: all positions are in one bucket, and one round is enough.
    pub buckets: usize,
    /// Positions of a chunk.
    pub chunk: usize,
    /// Chunks before its own that a position sees.
    pub before: usize,
    /// Chunks behind its own that a position sees; a decoder has none.
    pub after: usize,
    /// Seed of the rotations.
    pub seed: u64,
}

impl Hashing {
    /// Fails at sizes that make no sense, naming their keys.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String, hint: &str| Err(Error::new(format!("config.json: {what}")).hint(hint));
        if self.buckets == 0 || self.buckets > 1 && !self.buckets.is_multiple_of(2) {
            let what = format!("`attention.n_buckets` is {}, which is neither 1 nor even", self.buckets);
            return wrong(what, "a rotation and its opposite are two buckets; 1 means no hashing");
        }
        if self.rounds == 0 || self.chunk == 0 {
            let what = format!("`attention.n_hashes` is {}, `attention.chunk_len` is {}", self.rounds, self.chunk);
            return wrong(what, "both are 1 or more");
        }
        match self.rounds.checked_mul(self.buckets) {
            Some(n) if n <= MOST => Ok(()),
            _ => {
                let what = format!("`attention.n_hashes` {} times `attention.n_buckets` {} is above {MOST}", self.rounds, self.buckets);
                wrong(what, "choose fewer buckets")
            }
        }
    }

    /// Earlier positions that a decoder's query sees at most, in each round.
    pub(super) fn window(&self) -> usize {
        self.before.saturating_add(1).saturating_mul(self.chunk)
    }
}
