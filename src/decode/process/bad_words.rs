//! `bad_words_ids`: removes the last token of a listed sequence wherever the tokens before it are the row's tail.
//!
//! As in transformers, a sequence that is just an end token is not listed, and an empty one means nothing.

use super::{Made, Processor, Row, remove};
use crate::decode::settings::Generation;

struct BadWords(Vec<Vec<u32>>);

pub(super) fn make(settings: &Generation) -> Made {
    let is_end = |word: &[u32]| matches!(word, [token] if settings.eos.contains(token));
    let words: Vec<Vec<u32>> = settings.bad_words.iter().filter(|w| !is_end(w)).cloned().collect();
    (!words.is_empty()).then(|| Box::new(BadWords(words)) as _)
}

impl Processor for BadWords {
    fn apply(&self, row: &Row, scores: &mut [f32]) {
        for word in &self.0 {
            if let Some((last, head)) = word.split_last()
                && row.tokens.ends_with(head)
            {
                remove(scores, &[*last]);
            }
        }
    }
}
