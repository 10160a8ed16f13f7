//! Perplexity: how well a model expects a text.
//!
//! - [`windows`]: which tokens are predicted from which, where a text is longer than the model's context
//! - [`Options`]: what the caller wants, and the [`Plan`] that follows for a model
//! - [`score_text`], [`score_pair`], [`score_masked`]: a model and tokens -> the [`Losses`] of the tokens, one by one
//! - [`Ppl`]: losses of many documents -> perplexities, as of any [`Metric`](super::Metric)
//!
//! Exact sums throughout: each predicted token counts once, in f64.

mod loss;
mod masked;
mod metric;
mod options;
mod score;
pub mod windows;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use loss::losses;
pub use masked::score_masked;
pub use metric::{Condition, EQUALS, Ppl, Unit};
pub use options::{Begin, Options, Plan, Policy};
pub use score::{HfWeighted, Losses, score_pair, score_text};
pub use words::words;
