//! Token embeddings, and the output matrix where it is the same table.

use super::Positions;
use crate::error::{Error, Result};
use crate::kernel::elementwise::scale;
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::rows::Rows;
use crate::kernel::tensor;
use crate::weights::{Form, Weights};
use candle_core::Tensor;
use std::sync::Arc;

/// A table (V, d) of which rows are looked up.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Table,
    scale: f32,
}

/// How the table lies in memory.
#[derive(Debug, Clone)]
enum Table {
    /// As the output product wants it, which reads all of it.
    Tied(Arc<Packed>),
    /// Row by row.
    Rows(Arc<Rows>),
}

impl Embedding {
    /// Over a packed table, which may serve the output product too; lookups are multiplied by `scale`.
    pub fn new(table: Arc<Packed>, scale: f32) -> Self {
        Self { table: Table::Tied(table), scale }
    }

    /// The tensor `name` (V, d) below `w`, for lookups alone.
    pub fn rows(w: &Weights, name: &str, (v, d): (usize, usize)) -> Result<Self> {
        let rows = w.rows(name, &[v, d], &Form::whole((v, d), Layout::OutIn))?;
        Ok(Self { table: Table::Rows(Arc::new(rows)), scale: 1.0 })
    }

    /// Over rows that were read before, for lookups alone.
    pub fn of_rows(rows: Rows) -> Self {
        Self { table: Table::Rows(Arc::new(rows)), scale: 1.0 }
    }

    /// Packs the tensor `name` (V, d) below `w`; `bias` (V) is added where the table serves as output matrix.
    pub fn packed(w: &Weights, name: &str, (v, d): (usize, usize), bias: Option<Vec<f32>>) -> Result<Arc<Packed>> {
        Ok(Arc::new(w.packed(name, &Form::whole((v, d), Layout::OutIn), bias)?))
    }

    fn width(&self) -> usize {
        match &self.table {
            Table::Tied(table) => table.inputs,
            Table::Rows(rows) => rows.width,
        }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        match &self.table {
            Table::Tied(table) => table.inputs * table.precision().bytes(),
            Table::Rows(rows) => rows.row_bytes(),
        }
    }

    /// The rows of `ids`, (ids, d).
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        tensor(self.lookup(ids), (ids.len(), self.width()))
    }

    /// The rows of `ids`, each with its position's row added, (ids, d). Fails as [`Positions::forward`].
    pub fn forward_at(&self, ids: &[u32], positions: &Positions, at: impl ExactSizeIterator<Item = usize>) -> Result<Tensor> {
        let mut out = self.lookup(ids);
        positions.add_to(&mut out, at)?;
        tensor(out, (ids.len(), self.width()))
    }

    fn lookup(&self, ids: &[u32]) -> Vec<f32> {
        let d = self.width();
        let mut out = vec![0.0; ids.len() * d];
        for (&id, row) in ids.iter().zip(out.chunks_exact_mut(d)) {
            match &self.table {
                Table::Tied(table) => table.row(id as usize, row),
                Table::Rows(rows) => rows.row(id as usize, row),
            }
            if self.scale != 1.0 {
                scale(row, self.scale);
            }
        }
        out
    }
}

/// Fails if an id is outside of the vocabulary.
pub(crate) fn check_ids<'a>(ids: impl IntoIterator<Item = &'a u32>, v: usize) -> Result<()> {
    match ids.into_iter().find(|&&id| id as usize >= v) {
        Some(id) => Err(Error::new(format!("token id {id} is outside of the vocabulary of {v} tokens"))
            .hint("the tokenizer does not belong to this model, or the ids were made for another one")),
        None => Ok(()),
    }
}
