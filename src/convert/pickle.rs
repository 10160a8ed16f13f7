//! Pickles read without running them.
//!
//! A pickle is a program for a small stack machine, and Python's own reader calls whatever the program names. This one calls nothing: it
//! builds plain values, knows a short list of names (`Global`) as inert tags, and refuses every other one. Values lie in one arena and refer
//! to each other by number, so a pickle can neither nest so deep that the stack ends nor unfold to more than the file holds.

mod build;
mod element;
mod machine;
mod opcode;
mod tensor;
mod value;

pub use element::Element;
pub use value::{Array, Id, Item, Number, Storage, Values, View};

use crate::convert::bytes::Bytes;
use crate::error::Result;

/// Whose pickle it is: which names it may use, and whether it may name what lies outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// trax: arrays of numpy and jax.
    Trax,
    /// PyTorch: views of storages that lie beside the pickle.
    Torch,
}

/// The value of a pickle of trax, in the arena it lives in. Fails on whatever is no pickle, or none that holds only plain values and arrays.
pub fn read(bytes: &mut Bytes) -> Result<Values> {
    machine::Machine::new(bytes, Dialect::Trax).run()
}

/// The same for one of PyTorch: tensors are [`View`]s of [`Storage`]s, of which the pickle has nothing but the names.
pub fn read_torch(bytes: &mut Bytes) -> Result<Values> {
    machine::Machine::new(bytes, Dialect::Torch).run()
}
