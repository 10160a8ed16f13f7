//! effattn decodes and evaluates efficient-attention models.
pub mod decode;
pub mod error;
pub mod memory;
pub mod model;

pub use error::{Error, Result};
