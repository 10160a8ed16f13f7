//! Which tokens a model with a limited context predicts from which.

use crate::error::{Error, Result};
use std::ops::Range;

/// A stretch of a sequence that the model reads from a fresh state.
///
/// It reads [`Window::inputs`], and after each of the last of them predicts the next token: the targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first position that is read.
    pub begin: usize,
    /// The positions that are predicted; may be empty.
    pub targets: Range<usize>,
}

impl Window {
    /// The positions that are read: the last target is not.
    pub fn inputs(&self) -> Range<usize> {
        self.begin..self.targets.end - 1
    }

    /// The positions before the first target.
    pub fn context(&self) -> Range<usize> {
        self.begin..self.targets.start
    }
}

/// Windows of `context` tokens that begin at 0, `stride`, 2·`stride`, …, over a sequence of `n` tokens; each predicts what those before
/// it did not reach.
///
/// A window's first token is never predicted: that of the sequence, and with `stride` = `context` that of every window
/// (transformers:docs/source/en/perplexity.md). Fails unless 1 ≤ `stride` ≤ `context` and 2 ≤ `context`.
pub fn sliding(n: usize, context: usize, stride: usize) -> Result<Vec<Window>> {
    if context < 2 {
        return Err(Error::usage(format!("a context of {context} leaves no token to predict another from")).hint("it must be 2 at least"));
    }
    if stride == 0 || stride > context {
        return Err(Error::usage(format!("a stride of {stride} with a context of {context}"))
            .hint(format!("a stride is 1 to {context}: a longer one would leave tokens out")));
    }
    let mut windows = Vec::new();
    let mut reached = 0;
    for begin in (0..n).step_by(stride) {
        let end = begin.saturating_add(context).min(n);
        windows.push(Window { begin, targets: reached.max(begin + 1)..end });
        reached = end;
        if end == n {
            break;
        }
    }
    Ok(windows)
}

/// Windows over a prefix token (position 0) and `n` tokens behind it (positions 1 to `n`), all of which are predicted once.
///
/// The first window predicts up to `max_seq_len` tokens; each later one up to `max_seq_len` − `context_len` + 1, and reads
/// `max_seq_len` tokens also where it predicts fewer (lm-evaluation-harness:lm_eval/utils.py, `get_rolling_token_windows`;
/// `make_disjoint_window` gives [`Window::context`] and the targets). The harness itself uses a `context_len` of 1.
/// Fails unless 1 ≤ `context_len` ≤ `max_seq_len`.
pub fn rolling(n: usize, max_seq_len: usize, context_len: usize) -> Result<Vec<Window>> {
    if context_len == 0 || context_len > max_seq_len {
        return Err(Error::usage(format!("rolling windows of {max_seq_len} tokens with {context_len} of context"))
            .hint("the context is 1 to the length of a window"));
    }
    let mut windows = Vec::new();
    let mut reached = 0;
    while reached < n {
        let most = if reached == 0 { max_seq_len } else { max_seq_len - context_len + 1 };
        let end = reached.saturating_add(most).min(n);
        windows.push(Window { begin: end.saturating_sub(max_seq_len), targets: reached + 1..end + 1 });
        reached = end;
    }
    Ok(windows)
}
