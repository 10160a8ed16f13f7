//! What the attention remembers: two queues of rows, the segment so far, and the sums over them.

use crate::error::Result;
use crate::memory::Memory;
use crate::mixer::segments::select;

/// Queues, segment and sums of each row of a batch.
#[derive(Debug, Clone)]
pub struct Fifo(pub(super) Vec<Row>);

#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Tokens read.
    pub seen: usize,
    /// cmem, (rows, d).
    pub compressed: Vec<f32>,
    /// Where its rows stand in the text.
    pub places: Vec<i64>,
    /// mem, and behind it the segment so far, (rows, d).
    pub recent: Vec<f32>,
    /// cmem by rolls, the oldest first.
    pub groups: Vec<Group>,
    /// Sums over cmem, mem and the segment so far.
    pub sums: Vec<f32>,
}

/// The compressed rows of one roll that are still there.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub rows: usize,
    /// Their sums; empty until they are made.
    pub sums: Vec<f32>,
}

impl Row {
    /// Notes that the oldest `rows` rows of cmem left.
    pub fn shrink(&mut self, mut rows: usize) {
        while let Some(first) = self.groups.first_mut().filter(|_| rows > 0) {
            if first.rows <= rows {
                rows -= first.rows;
                self.groups.remove(0);
            } else {
                (first.rows, first.sums) = (first.rows - rows, Vec::new());
                return;
            }
        }
    }
}

impl Memory for Fifo {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        select(&mut self.0, rows);
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        let sums = |r: &Row| size_of_val(&r.sums[..]) + r.groups.iter().map(|g| size_of_val(&g.sums[..])).sum::<usize>();
        let row = |r: &Row| size_of_val(&r.compressed[..]) + size_of_val(&r.places[..]) + size_of_val(&r.recent[..]) + sums(r);
        self.0.iter().map(row).sum()
    }
}
