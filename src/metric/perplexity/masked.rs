//! Pseudo-perplexity of models that fill in tokens from both sides (Salazar et al. 2020, "Masked Language Model Scoring",
//! <https://arxiv.org/abs/1910.14659>, eq. 1 and section 2.3): PLL(W) = Σ_t ln p(w_t | W without w_t), each token in turn replaced by the mask token.
//!
//! These are no factors of one probability: a pseudo-perplexity compares with other pseudo-perplexities only.

use super::loss::losses;
use super::score::Losses;
use crate::block::check_ids;
use crate::error::{Error, Result};
use crate::model::{Model, Source};

/// Tokens of the copies of a text that are read at once, one copy at least.
const TOGETHER: usize = 4096;

/// Scores a text with a model that reads from both sides.
///
/// `scored` tells which tokens count: the others, a tokenizer's own at either end, are read and stay as they are. Fails for a model that decodes, a token outside of the
/// vocabulary, and a text longer than the model's limit: nothing is cut.
pub fn score_masked(model: &dyn Model, tokens: &[u32], scored: &[bool], mask: u32) -> Result<Losses> {
    let info = model.info();
    if info.reads_only.is_none() {
        return Err(Error::usage(format!("`{}` is causal: it expects a token from those before it", info.model_type))
            .hint("its perplexity is that of the text from left to right"));
    }
    if tokens.len() != scored.len() {
        return Err(Error::new(format!("{} tokens, and {} that may count", tokens.len(), scored.len())));
    }
    if let Some(most) = info.max_source.filter(|most| tokens.len() > *most) {
        return Err(Error::new(format!("a text of {} tokens, but `{}` has {most} positions", tokens.len(), info.model_type)).hint(
            "every token is expected from the whole text, so there are no windows: score shorter texts, a line each with `--sentence-level`",
        ));
    }
    check_ids(tokens.iter().chain([&mask]), info.vocab_size)?;
    let places: Vec<usize> = (0..tokens.len()).filter(|&i| scored[i]).collect();
    let mut nll = Vec::with_capacity(places.len());
    for places in places.chunks((TOGETHER / tokens.len().max(1)).max(1)) {
        let copy = |&i: &usize| tokens.iter().enumerate().map(|(j, &token)| if i == j { mask } else { token }).collect();
        let logits = model.fill_at(&Source::new(places.iter().map(copy).collect()), places)?; // (copies, v)
        let targets: Vec<u32> = places.iter().map(|&i| tokens[i]).collect();
        nll.extend(losses(&logits.unsqueeze(0)?, &targets)?);
    }
    Ok(Losses { nll, ..Losses::default() })
}
