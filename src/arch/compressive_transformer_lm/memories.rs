//! What the model remembers: in each layer the rows of two queues and of the segment so far, and their keys and values.

use crate::kernel::keys::Keys;
use crate::memory::{ByRow, RowMemory};
use crate::mixer::segments::{Compress, Queues};

/// What each row of a batch remembers, layer by layer.
pub(super) type Memories = ByRow<Vec<Held>>;

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

impl RowMemory for Vec<Held> {
    fn bytes(&self) -> usize {
        self.iter().map(|h| size_of_val(&h.rows[..]) + h.queue.bytes() + h.segment.bytes()).sum()
    }
}
