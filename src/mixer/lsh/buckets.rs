//! What the attention remembers.

use super::seen::Row;
use crate::block::History;
use crate::error::Result;
use crate::memory::Memory;

/// Keys, values and buckets of each row, and what the convolutions have read.
#[derive(Debug, Clone)]
pub struct Buckets {
    pub(super) rows: Vec<Row>,
    pub(super) m: History,
}

impl Memory for Buckets {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.rows = rows.iter().map(|&r| self.rows[r].clone()).collect();
        self.m.select(rows)
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        let mut m = Vec::new();
        for other in others {
            self.rows.extend(other.rows);
            m.push(other.m);
        }
        self.m.join(m)
    }

    fn bytes(&self) -> usize {
        self.rows.iter().map(Row::bytes).sum::<usize>() + self.m.bytes()
    }

    fn reserve(&mut self, positions: usize) {
        self.rows.iter_mut().for_each(|r| r.reserve(positions));
    }
}
