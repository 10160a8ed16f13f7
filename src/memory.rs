//! Everything that changes while decoding: one [`State`], made of one [`Memory`] a layer.

use crate::error::{Error, Result};
use crate::model::Probe;
use std::any::Any;

/// One layer's memory for a batch of rows, in whatever layout suits the variant.
///
/// Rows are independent: a row may have read more tokens than its neighbour.
pub trait Memory: Clone + Send + 'static {
    /// Keeps, reorders or repeats rows: row `i` of the result is row `rows[i]` of before. All that beam search needs.
    fn select(&mut self, rows: &[usize]) -> Result<()>;
    /// Puts the rows of `others` behind its own, in order.
    fn join(&mut self, others: Vec<Self>) -> Result<()>;
    /// Bytes of state that the rows hold, what they share counted once (the memory column of `bench`).
    fn bytes(&self) -> usize;
    /// Makes room for `positions` in all, so that decoding up to there does not allocate.
    fn reserve(&mut self, _positions: usize) {}
}

/// Keeps, reorders or repeats `items`, one a row: the last use of a row takes it, those before copy, into the room of a row that leaves where there is one.
pub fn select<T: Clone>(items: &mut Vec<T>, rows: &[usize]) {
    let mut last = vec![None; items.len()];
    for (i, &r) in rows.iter().enumerate() {
        last[r] = Some(i);
    }
    let mut old: Vec<Option<T>> = std::mem::take(items).into_iter().map(Some).collect();
    let mut left: Vec<T> = old.iter_mut().zip(&last).filter(|(_, last)| last.is_none()).filter_map(|(row, _)| row.take()).collect();
    let mut copy = |row: &T| match left.pop() {
        Some(mut room) => {
            room.clone_from(row);
            room
        }
        None => row.clone(),
    };
    let place = |(i, &r): (usize, &usize)| if last[r] == Some(i) { old[r].take() } else { old[r].as_ref().map(&mut copy) };
    *items = rows.iter().enumerate().filter_map(place).collect();
}

/// What one row of a batch remembers, where rows share nothing.
pub trait RowMemory: Clone + Send + 'static {
    /// Bytes of state that the row holds.
    fn bytes(&self) -> usize;
    /// See [`Memory::reserve`].
    fn reserve(&mut self, _positions: usize) {}
}

/// A memory whose rows share nothing.
#[derive(Debug, Clone)]
pub struct ByRow<R>(pub Vec<R>);

impl<R: RowMemory> Memory for ByRow<R> {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        select(&mut self.0, rows);
        Ok(())
    }

    fn join(&mut self, others: Vec<Self>) -> Result<()> {
        self.0.extend(others.into_iter().flat_map(|o| o.0));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(RowMemory::bytes).sum()
    }

    fn reserve(&mut self, positions: usize) {
        self.0.iter_mut().for_each(|row| row.reserve(positions));
    }
}

/// A list of numbers for each row of a batch: all that many layers remember.
pub type Lists = ByRow<Vec<f32>>;

impl RowMemory for Vec<f32> {
    fn bytes(&self) -> usize {
        size_of_val(&self[..])
    }
}

impl Lists {
    /// `n` zeros for each of `rows` rows.
    pub fn zeros(rows: usize, n: usize) -> Self {
        Self(vec![vec![0.0; n]; rows])
    }
}

/// A [`Memory`] whose type only its own mixer knows.
pub trait AnyMemory: Send {
    /// See [`Memory::select`].
    fn select(&mut self, rows: &[usize]) -> Result<()>;
    /// See [`Memory::join`]; fails when the memories are of different types.
    fn join(&mut self, others: Vec<Box<dyn AnyMemory>>) -> Result<()>;
    /// See [`Memory::bytes`].
    fn bytes(&self) -> usize;
    /// See [`Memory::reserve`].
    fn reserve(&mut self, positions: usize);
    /// A copy that lives on by itself.
    fn fork(&self) -> Box<dyn AnyMemory>;
    /// For the mixer that made it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// For the mixer that made it.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl dyn AnyMemory + '_ {
    /// The memory as the type that its own mixer made. Fails if another made it.
    pub fn own<M: 'static>(&mut self) -> Result<&mut M> {
        self.as_any_mut().downcast_mut().ok_or_else(foreign)
    }
}

/// The error of a memory where another was expected.
pub(crate) fn foreign() -> Error {
    Error::new("the state belongs to another model")
}

impl<M: Memory> AnyMemory for M {
    fn select(&mut self, rows: &[usize]) -> Result<()> {
        Memory::select(self, rows)
    }

    fn join(&mut self, others: Vec<Box<dyn AnyMemory>>) -> Result<()> {
        let own = others
            .into_iter()
            .map(|o| o.into_any().downcast::<M>().map(|m| *m))
            .collect::<std::result::Result<Vec<M>, _>>()
            .map_err(|_| Error::new("memories of different kinds cannot be joined"))?;
        Memory::join(self, own)
    }

    fn bytes(&self) -> usize {
        Memory::bytes(self)
    }

    fn reserve(&mut self, positions: usize) {
        Memory::reserve(self, positions);
    }

    fn fork(&self) -> Box<dyn AnyMemory> {
        Box::new(self.clone())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// All that a model remembers of a batch: tokens seen so far a row, and each layer's memory.
pub struct State {
    /// Decoder tokens read so far, one count a row.
    pub seen: Vec<usize>,
    /// One memory a layer (and whatever else the stack keeps, cross-attention keys for instance), in the stack's order.
    pub layers: Vec<Box<dyn AnyMemory>>,
    /// Collects intermediate results when somebody asked for them.
    pub probe: Probe,
}

impl Clone for State {
    fn clone(&self) -> Self {
        Self { seen: self.seen.clone(), layers: self.layers.iter().map(|l| l.fork()).collect(), probe: self.probe.clone() }
    }
}

impl State {
    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.seen.len()
    }

    /// Positions of the next t tokens of each row, row after row.
    pub fn positions(&self, t: usize) -> Vec<usize> {
        self.seen.iter().flat_map(|&s| s..s + t).collect()
    }

    /// Keeps, reorders or repeats rows: row `i` of the result is row `rows[i]` of before.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(r) = rows.iter().find(|r| **r >= self.rows()) {
            return Err(Error::new(format!("row {r} of a state with {} rows", self.rows())));
        }
        self.seen = rows.iter().map(|&r| self.seen[r]).collect();
        self.layers.iter_mut().try_for_each(|l| l.select(rows))
    }

    /// Puts the rows of `others` behind its own.
    pub fn join(&mut self, others: Vec<State>) -> Result<()> {
        let mut columns: Vec<Vec<Box<dyn AnyMemory>>> = self.layers.iter().map(|_| Vec::new()).collect();
        for other in others {
            self.seen.extend(&other.seen);
            for (column, memory) in columns.iter_mut().zip(other.layers) {
                column.push(memory);
            }
        }
        self.layers.iter_mut().zip(columns).try_for_each(|(l, c)| l.join(c))
    }

    /// Makes room for `positions` tokens a row in all, so that decoding up to there does not allocate.
    pub fn reserve(&mut self, positions: usize) {
        self.layers.iter_mut().for_each(|l| l.reserve(positions));
    }

    /// Bytes of state of all rows and layers.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|l| l.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selected_rows_are_those_named() {
        let mut all = vec!["a", "b", "c"];
        select(&mut all, &[2, 0, 2, 2]);
        assert_eq!(all, ["c", "a", "c", "c"]);
    }
}
