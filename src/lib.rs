//! effattn decodes and evaluates efficient-attention models.
pub mod arch;
pub mod block;
pub mod checkpoint;
pub mod error;
pub mod kernel;
pub mod memory;
pub mod mixer;
pub mod model;
pub mod weights;

pub use error::{Error, Result};
