//! What the attention remembers: the queues and the segment so far, as keys and values and, where they are compressed one day, as inputs.

use crate::kernel::keys::Keys;
use crate::memory::RowMemory;

/// Queues and segment of a row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Tokens read.
    pub seen: usize,
    /// Inputs of the recent rows and of the segment so far, where they are compressed one day.
    pub inputs: Vec<f32>,
    /// Keys and values of the compressed and the recent rows.
    pub queue: Keys,
    /// How many of these are compressed.
    pub compressed: usize,
    /// Keys and values of the segment so far.
    pub segment: Keys,
    /// What each recent row and each row of the segment was given by each head, (rows, h), where that counts.
    pub used: Vec<f32>,
}

impl Row {
    /// Rows of the memory that are not compressed.
    pub fn recent(&self) -> usize {
        self.queue.len() - self.compressed
    }
}

impl RowMemory for Row {
    fn bytes(&self) -> usize {
        size_of_val(&self.inputs[..]) + self.queue.bytes() + self.segment.bytes() + size_of_val(&self.used[..])
    }
}
