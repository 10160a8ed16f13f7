//! effattn decodes and evaluates efficient-attention models: one library, one thin binary.
//!
//! | question | module |
//! |---|---|
//! | what can be typed, and what does a command do? | [`cli`], [`command`] |
//! | how do documents come in and records go out? | [`document`], [`output`] |
//! | how does a directory become a model? | [`checkpoint`], [`weights`], [`adapter`], [`arch`] |
//! | what is a model made of? | [`block`], [`mixer`], [`kernel`] |
//! | what does a model promise, and what does it remember? | [`model`], [`memory`] |
//! | how do checkpoints from elsewhere come in? | [`convert`], [`hub`] |
//! | how do logits become text? | [`decode`] |
//! | which texts belong together, and how good are they? | [`segments`], [`metric`] |
//! | is it the reference's model? | [`verify`] |
//! | how long did it take, and how is that shown? | [`timing`], [`report`] |
//! | what is to be measured, and on what? | [`suite`], [`machine`] |
//!
//! A summary takes four steps: load, encode, search, turn tokens into text.
//!
#![cfg_attr(feature = "embedded-model", doc = "```")]
#![cfg_attr(not(feature = "embedded-model"), doc = "```no_run")]
//! use effattn::checkpoint::{Checkpoint, Options};
//! use effattn::decode::{Generation, Overrides, search};
//! use effattn::model::Source;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let led = Checkpoint::embedded(&Options::default())?; // or Checkpoint::open(dir, &Options::default())
//! let tokenizer = led.tokenizer.as_ref().ok_or("this checkpoint has no tokenizer")?;
//! let settings = Generation::resolve(led.generation_config.as_ref(), &led.config, &Overrides::default())?;
//!
//! let document = tokenizer.encode("Tallyho counts the lines of log files that match a pattern and prints a table.", true)?;
//! let (state, first) = led.model.encode(&Source::new(vec![document.get_ids().to_vec()]))?;
//! let prompts = first.iter().map(|&token| vec![token]).collect();
//! let mut search = search(led.model.as_ref(), state, first, prompts, &[0], &settings)?;
//! for step in search.by_ref() {
//!     step?; // a token of every beam; time it, stream it, stop it
//! }
//! let best = &search.finish()[0][0];
//! println!("{}", tokenizer.decode(&best.tokens, true)?);
//! # assert!(best.tokens.len() > 3);
//! # Ok(())
//! # }
//! ```

pub mod adapter;
pub mod arch;
pub mod block;
pub mod checkpoint;
pub mod cli;
pub mod command;
pub mod convert;
pub mod decode;
pub mod document;
pub mod error;
mod files;
mod fingerprint;
pub mod hub;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod metric;
pub mod mixer;
pub mod model;
mod nearest;
pub mod output;
pub mod report;
pub mod segments;
pub mod space;
pub mod suite;
pub mod timing;
mod typed;
pub mod verify;
pub mod weights;

pub use error::{Error, Result};
