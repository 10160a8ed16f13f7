//! How texts are cut, which blocks rows see, and what that is called.

use crate::error::{Error, Result};
use std::fmt;

/// How texts are cut, and which blocks rows see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Tokens of a block.
    pub block: usize,
    /// Random blocks that a row sees.
    pub random: usize,
    /// Which.
    pub draw: Draw,
    /// Whether short texts, too, are read so.
    pub always: bool,
    /// Whether all documents of a batch are cut like the longest, and switch with it.
    pub padded: bool,
}

/// Who chooses the random blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// Nobody: all are block 0, as the reference has it in evaluation.
    Evaluation,
    /// numpy's legacy generator, as the reference has it in training.
    Paper {
        /// The seed of layer 0; a layer's own is its number more.
        seed: u32,
        /// `max_position_embeddings`, for which three lengths have their table drawn.
        positions: usize,
    },
}

impl Pattern {
    /// The longest text that is read with full attention. Fails where a block has no tokens, or numbers are beyond all texts.
    pub fn switch(&self) -> Result<usize> {
        const MOST: usize = 1 << 30;
        let Self { block, random, .. } = *self;
        if block == 0 || block > MOST || random > MOST {
            let (key, value, least) = if random > MOST { ("num_random_blocks", random, 0) } else { ("block_size", block, 1) };
            return Err(Error::new(format!("config.json: `{key}` is {value}, not between {least} and {MOST}"))
                .hint("published checkpoints have blocks of 64 tokens and 3 random ones"));
        }
        Ok((5 + 2 * random) * block)
    }

    /// Its name where it runs over `blocks` blocks, or with none where that is not known yet.
    pub(super) fn named(&self, blocks: Option<usize>) -> String {
        let blocks = blocks.map(|n| format!(" blocks={n}")).unwrap_or_default();
        let quirk = if self.padded { " quirk=padded" } else { "" };
        format!("bigbird block={}{blocks} random={} {}{quirk}", self.block, self.random, self.draw)
    }

    /// What there is to know of it before a text comes.
    pub fn describe(&self) -> Result<String> {
        let switch = self.switch()?;
        let counts = if self.draw == Draw::Evaluation { format!(" (block 0 counts {} times)", 1 + self.random) } else { String::new() };
        let full = if self.always { String::new() } else { format!(", full up to {switch} tokens") };
        Ok(format!("{}{counts}{full}", self.named(None)))
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evaluation => f.write_str("plan=evaluation"),
            Self::Paper { seed, .. } => write!(f, "plan=paper seed={seed}"),
        }
    }
}
