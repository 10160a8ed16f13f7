//! From logits to token ids: greedy search, sampling and beam search as one iterator over a [`Model`] and its [`State`].
//!
//! | question | file |
//! |---|---|
//! | which settings hold, and where from? | [`settings`], [`resolve`], `check` |
//! | how long may a row become, and what ends it? | [`stop`] |
//! | what is done to the scores before a token is chosen? | [`process`], one rule a file, in the order of its slice |
//! | how is the token chosen? | `greedy`, `sample`, `beam` |
//! | who feeds the model and drops what has ended? | [`mod@search`] |
//!
//! The numbers are those of `generate` of transformers 5.23 for the document alone in its batch; `fixtures/decoding` holds its
//! answers. Deliberate departures, each where its code is: draws come from ChaCha8 and so never repeat `torch.multinomial`
//! ([`sample`]); a value that is not a number is an error; the command line outranks the files ([`resolve`]); a row cannot
//! outgrow the model's positions ([`settings::Generation::lengths`]); equal scores go to the lower index.
//!
//! [`Model`]: crate::model::Model
//! [`State`]: crate::memory::State

mod beam;
mod check;
mod greedy;
pub mod process;
pub mod resolve;
mod rows;
pub mod sample;
pub mod search;
pub mod settings;
pub mod stop;
pub mod task;
#[cfg(test)]
mod tests;

pub use sample::seed_of;
pub use search::{Hypothesis, Search, Step, beam_search, search};
pub use settings::{EarlyStopping, Generation, Overrides};
pub use stop::{Finish, Lengths};
pub use task::{Task, source_prefix};

/// What there is to choose from, and the settings that choose it (`effattn list`).
pub const STRATEGIES: &[(&str, &str)] = &[
    ("greedy", "the default of a checkpoint without other settings; `--temperature 0`"),
    ("sampling", "`--do-sample` with `--temperature`, `--top-k`, `--top-p`, `--min-p`"),
    ("beam search", "`--num-beams` with `--length-penalty`, `--early-stopping`, `--num-return-sequences`"),
    ("beam sampling", "`--num-beams` with `--do-sample`"),
];
