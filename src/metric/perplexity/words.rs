//! How many words a text has, for perplexities a word.

use crate::space::is_space;

/// Pieces of a text between stretches of white space, empty ones at its ends included: `len(re.split(r"\s+", text))` of Python,
/// as lm-evaluation-harness counts the words of a page (lm_eval/tasks/wikitext/preprocess_wikitext.py).
pub fn words(text: &str) -> usize {
    let mut pieces = 1;
    let mut in_space = false;
    for c in text.chars() {
        let space = is_space(c);
        pieces += usize::from(space && !in_space);
        in_space = space;
    }
    pieces
}
