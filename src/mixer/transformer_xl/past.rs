//! What the attention remembers: the keys and values that are still seen, and where the segment under way began.

use crate::error::Result;
use crate::kernel::keys::Keys;
use crate::memory::Memory;
use crate::mixer::softmax::Kv;

/// Where the segment under way began, and whether the next token belongs to it: for segments that are calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Call {
    pub start: usize,
    pub open: bool,
}

/// Keys and values of the positions that are still seen.
#[derive(Debug, Clone)]
pub struct Past {
    pub(super) kv: Kv,
    pub(super) calls: Vec<Call>,
    /// Positions for which there must be room.
    pub(super) most: usize,
}

impl Past {
    /// The next token belongs to the segment under way, if a segment is what a call reads.
    pub fn keep_open(&mut self) {
        self.calls.iter_mut().zip(&self.kv.0).for_each(|(call, keys)| call.open = !keys.is_empty());
    }
}

impl Memory for Past {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.calls = rows.iter().map(|&r| self.calls[r]).collect();
        self.kv.select(rows)
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        let (kvs, calls): (Vec<_>, Vec<_>) = others.into_iter().map(|o| (o.kv, o.calls)).unzip();
        self.calls.extend(calls.into_iter().flatten());
        self.kv.join(kvs)
    }

    fn bytes(&self) -> usize {
        self.kv.bytes()
    }

    fn reserve(&mut self, positions: usize) {
        self.kv.reserve(positions.min(Keys::room_for(self.most)));
    }
}
