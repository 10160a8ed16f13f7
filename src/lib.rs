//! effattn decodes and evaluates efficient-attention models: one library, one thin binary.
//!
//! | question | module |
//! |---|---|
//! | what can be typed, and what does a command do? | [`cli`], [`command`] |
//! | how do documents come in and records go out? | [`document`], [`output`] |
//! | how does a directory become a model? | [`checkpoint`], [`weights`], [`arch`] |
//! | what is a model made of? | [`block`], [`mixer`], [`kernel`] |
//! | what does a model promise, and what does it remember? | [`model`], [`memory`] |
//! | how do logits become text? | [`decode`] |
//! | is it the reference's model? | [`verify`] |
//! | how long did it take, and how is that shown? | [`timing`], [`report`] |

pub mod arch;
pub mod block;
pub mod checkpoint;
pub mod cli;
pub mod command;
pub mod decode;
pub mod document;
pub mod error;
pub mod kernel;
pub mod memory;
pub mod mixer;
pub mod model;
pub mod output;
pub mod report;
pub mod timing;
pub mod verify;
pub mod weights;

pub use error::{Error, Result};
