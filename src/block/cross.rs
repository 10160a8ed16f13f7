//! Attention of the decoder over the encoder's output.

use super::{Heads, Projections};
use crate::error::Result;
use crate::kernel::attention::{Job, Span, Visible, attend};
use crate::kernel::keys::Keys;
use crate::kernel::{slice, tensor};
use crate::memory::Memory;
use candle_core::Tensor;
use std::sync::Arc;

/// Cross-attention: keys and values of a document are projected once and shared by its beams.
pub struct Cross {
    heads: Heads,
    projections: Projections,
}

/// The keys of the document that each row decodes.
#[derive(Debug, Clone)]
pub struct CrossMemory(Vec<Arc<Keys>>);

impl Memory for CrossMemory {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.0 = rows.iter().map(|&r| self.0[r].clone()).collect();
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        let mut distinct: Vec<&Arc<Keys>> = self.0.iter().collect();
        distinct.sort_by_key(|k| Arc::as_ptr(k));
        distinct.dedup_by_key(|k| Arc::as_ptr(k));
        distinct.iter().map(|k| k.bytes()).sum()
    }
}

impl Cross {
    /// Of its projections.
    pub fn new(heads: Heads, projections: Projections) -> Self {
        Self { heads, projections }
    }

    /// Projects the encoder's output, (Σ n, d), once; `lengths` are the documents' n.
    pub fn memory(&self, encoded: &Tensor, lengths: &[usize]) -> Result<CrossMemory> {
        let d = self.heads.count * self.heads.width;
        let (k, v) = (self.projections.k.forward(encoded)?, self.projections.v.forward(encoded)?);
        slice(&k, |k| {
            slice(&v, |v| {
                let mut at = 0;
                let rows = lengths.iter().map(|n| {
                    let mut keys = Keys::new(self.heads.count, self.heads.width);
                    keys.reserve(*n);
                    keys.append(&k[at * d..(at + n) * d], &v[at * d..(at + n) * d]);
                    at += n;
                    Arc::new(keys)
                });
                CrossMemory(rows.collect())
            })
        })?
    }

    /// Bytes of weights that a step reads: the projections of queries and outputs.
    pub fn step_bytes(&self) -> usize {
        self.projections.q.bytes() + self.projections.out.bytes()
    }

    /// Bytes of the memory of one document of `n` tokens.
    pub fn bytes_at(&self, n: usize) -> usize {
        Keys::bytes_at(self.heads.count, self.heads.width, n)
    }

    /// (b, t, d) -> (b, t, d).
    pub fn forward(&self, xs: &Tensor, memory: &CrossMemory) -> Result<Tensor> {
        let (b, t, d) = xs.dims3()?;
        let q = self.projections.q.forward(xs)?; // (b, t, d)
        let out = slice(&q, |q| {
            let jobs: Vec<Job> = q
                .chunks_exact(t * d)
                .zip(&memory.0)
                .map(|(q, keys)| Job { q, spans: vec![Span { keys, visible: Visible::All, hidden: &[] }] })
                .collect();
            attend(&jobs, self.heads.count, self.heads.width, self.heads.scale)
        })?;
        self.projections.out.forward(&tensor(out, (b, t, d))?)
    }
}
