//! What the attention remembers: the queues and the segment so far, as keys and values and, where they are compressed one day, as inputs.

use crate::error::Result;
use crate::kernel::keys::Keys;
use crate::memory::Memory;
use crate::mixer::segments::select;

/// Queues and segment of each row of a batch.
#[derive(Debug, Clone)]
pub struct Segments(pub(super) Vec<Row>);

#[derive(Debug, Clone)]
pub(super) struct Row {
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

impl Memory for Segments {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        select(&mut self.0, rows);
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|r| size_of_val(&r.inputs[..]) + r.queue.bytes() + r.segment.bytes() + size_of_val(&r.used[..])).sum()
    }
}
