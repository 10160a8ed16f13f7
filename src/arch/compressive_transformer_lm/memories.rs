//! What the model remembers: in each layer the rows of two queues and of the segment so far, and their keys and values.

use crate::error::Result;
use crate::kernel::keys::Keys;
use crate::memory::Memory;
use crate::mixer::segments::{Compress, Queues, select};

/// What each row of a batch remembers, layer by layer.
#[derive(Debug, Clone)]
pub(super) struct Memories(pub Vec<Vec<Held>>);

/// What a layer remembers.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Compressed rows, recent rows, rows of the segment so far, (rows, d); nothing in layers without memories.
    pub rows: Vec<f32>,
    /// How many of them are compressed.
    pub compressed: usize,
    /// Keys and values of the compressed and the recent rows.
    pub queue: Keys,
    /// Keys and values of the segment so far.
    pub segment: Keys,
}

impl Held {
    /// The rows, of d features, after the segment is full.
    pub fn push(&mut self, d: usize, queues: &Queues, compress: &Compress) {
        let Queues { memory, compressed: most, .. } = *queues;
        let recent = self.rows.split_off(self.compressed * d);
        let n = (recent.len() / d).saturating_sub(memory);
        if most > 0 {
            self.rows.extend(compress.apply(&recent[..n * d], d, queues));
        }
        let rows = self.rows.len() / d;
        self.rows.drain(..rows.saturating_sub(most) * d);
        self.compressed = rows.min(most);
        self.rows.extend_from_slice(&recent[n * d..]);
    }
}

impl Memory for Memories {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        select(&mut self.0, rows);
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|h| size_of_val(&h.rows[..]) + h.queue.bytes() + h.segment.bytes()).sum()
    }
}
