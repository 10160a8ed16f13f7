//! How far queries see.

use crate::error::{Error, Result};

/// How far queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Positions remembered.
    pub memory: usize,
    /// What the memory stands before.
    pub segment: Segment,
    /// Distances beyond this one count as this one.
    pub clamp: Option<usize>,
}

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// None: every query sees as many keys as the memory holds, itself the last of them.
    Sliding,
    /// So many positions, from the first one on.
    Fixed(usize),
    /// Whatever one call reads, as in transformers; but the first token after a prompt was read belongs to the prompt ([`Past::keep_open`](super::Past::keep_open)).
    Call,
}

/// Sizes beyond this are typing errors.
const MOST: usize = 1 << 24;

impl Reach {
    /// Fails at sizes that make no sense; `names` are the keys of memory and segment.
    pub fn check(&self, (memory, segment): (&str, &str)) -> Result<()> {
        let wrong =
            |key: &str, n: usize, least: usize| Err(Error::new(format!("config.json: `{key}` is {n}, not between {least} and {MOST}")));
        match self.segment {
            Segment::Sliding if self.memory == 0 => {
                Err(Error::new(format!("config.json: `{memory}` is 0, so a query would see nothing, not even itself"))
                    .hint("the memory counts the query itself where every query sees as many keys: 1 or more"))
            }
            Segment::Fixed(s) if s == 0 || s > MOST => wrong(segment, s, 1),
            _ if self.memory > MOST => wrong(memory, self.memory, 0),
            _ => Ok(()),
        }
    }

    /// Positions of a segment, and how many before it are seen.
    pub(super) fn sizes(&self) -> (usize, usize) {
        match self.segment {
            Segment::Sliding => (1, self.memory - 1),
            Segment::Fixed(s) => (s, self.memory),
            Segment::Call => (1, self.memory),
        }
    }

    /// The first position that the query at `position` sees, or any after it.
    pub(super) fn lowest(&self, position: usize) -> usize {
        let (segment, before) = self.sizes();
        (position / segment * segment).saturating_sub(before)
    }

    /// Keys that a query sees at most, as far as that is known.
    pub(super) fn most(&self) -> usize {
        let (segment, before) = self.sizes();
        segment + before
    }

    /// Distances that differ.
    pub(super) fn distances(&self) -> usize {
        self.clamp.map_or(usize::MAX, |c| c.saturating_add(1))
    }
}
