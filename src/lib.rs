//! effattn decodes and evaluates efficient-attention models.
pub mod cli;
pub mod command;
pub mod document;
pub mod error;
pub mod memory;
pub mod model;
pub mod output;
pub mod timing;

// stand-ins until the branches with the real modules are merged
#[path = "standin/checkpoint.rs"]
pub mod checkpoint;
#[path = "standin/decode.rs"]
pub mod decode;

pub use error::{Error, Result};
