//! Perplexity: how well a model expects a text.
//!
//! - [`windows`]: which tokens are predicted from which, where a text is longer than the model's context
//! - [`Options`]: what the caller wants, and the [`Plan`] that follows for a model
//! - [`score_text`], [`score_pair`]: a model and tokens -> the [`Losses`] of the tokens, one by one
//! - [`Totals`]: losses of many documents -> [`Perplexity`]
//!
//! Exact sums throughout: each predicted token counts once, in f64.

mod loss;
mod options;
mod score;
mod totals;
pub mod windows;

#[cfg(test)]
mod tests;

pub use options::{Begin, Options, Plan, Policy};
pub use score::{HfWeighted, Losses, score_pair, score_text};
pub use totals::{Perplexity, Rates, Row, Totals, words};
