//! Pickles read without running them.
//!
//! A pickle is a program for a small stack machine, and Python's own reader calls whatever the program names. This one calls nothing: it
//! builds plain values, knows a short list of names (`Global`) as inert tags, and refuses every other one. Values lie in one arena and refer
//! to each other by number, so a pickle can neither nest so deep that the stack ends nor unfold to more than the file holds.

mod build;
mod machine;
mod opcode;
mod value;

pub use value::{Array, Id, Item, Number, Values};

use crate::convert::bytes::Bytes;
use crate::error::Result;

/// The value of a pickle, in the arena it lives in. Fails on whatever is no pickle, or none that holds only plain values and arrays.
pub fn read(bytes: &mut Bytes) -> Result<Values> {
    machine::Machine::new(bytes).run()
}
