//! What the attention remembers: two queues of rows, the segment so far, and the sums over them.

use crate::memory::RowMemory;

/// Queues, segment and sums of a row.
#[derive(Debug, Clone)]
pub struct Row {
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
pub struct Group {
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

impl RowMemory for Row {
    fn bytes(&self) -> usize {
        let sums = size_of_val(&self.sums[..]) + self.groups.iter().map(|g| size_of_val(&g.sums[..])).sum::<usize>();
        size_of_val(&self.compressed[..]) + size_of_val(&self.places[..]) + size_of_val(&self.recent[..]) + sums
    }
}
