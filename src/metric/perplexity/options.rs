//! What the caller wants, and what follows for a model.

use super::windows::{Window, rolling, sliding};
use crate::error::{Error, Result};
use crate::model::Info;

/// Tokens read at a time by a model without limit, unless the caller says otherwise.
const SEGMENT: usize = 512;

/// How a text is cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// [`sliding`] windows; without a stride half the context.
    Sliding {
        /// Tokens from the beginning of a window to that of the next.
        stride: Option<usize>,
    },
    /// [`rolling`] windows as lm-evaluation-harness makes them; needs a first token.
    Rolling,
    /// Segment after segment with the model's memory carried on: every token is read once and predicted from all before it.
    Carried,
}

/// What the first token of a text is predicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// This token, which belongs to the first window only; usually the model's `bos_token_id`, else its `eos_token_id`.
    First(u32),
    /// Nothing: the first token is not predicted, as in transformers.
    None,
}

/// How a text is scored.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How it is cut up; `None`: carried where the model has no limit, else sliding.
    pub policy: Option<Policy>,
    /// Tokens of a window or segment; `None`: the model's limit, or 512.
    pub context: Option<usize>,
    /// What stands before the text.
    pub begin: Begin,
}

/// [`Options`] with the numbers that follow for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// See [`Policy::Sliding`].
    Sliding {
        /// Tokens of a window.
        context: usize,
        /// Tokens from the beginning of a window to that of the next.
        stride: usize,
    },
    /// See [`Policy::Rolling`].
    Rolling {
        /// Tokens that a window reads.
        context: usize,
    },
    /// See [`Policy::Carried`].
    Carried {
        /// Tokens read at a time.
        segment: usize,
    },
}

/// The most tokens that a decoder-only model can read.
pub(super) fn limit(info: &Info) -> Option<usize> {
    info.max_source.into_iter().chain(info.max_target).min()
}

impl Options {
    /// What follows for a model. Fails if the context is beyond its limit or the windows are impossible.
    pub fn plan(&self, info: &Info) -> Result<Plan> {
        let limit = limit(info);
        if let (Some(wanted), Some(most)) = (self.context, limit)
            && wanted > most
        {
            return Err(Error::usage(format!("a context of {wanted} tokens, but `{}` has {most} positions", info.model_type))
                .hint(format!("it is {most} at most")));
        }
        let context = self.context.or(limit).unwrap_or(SEGMENT);
        let policy = self.policy.unwrap_or(if limit.is_none() { Policy::Carried } else { Policy::Sliding { stride: None } });
        let plan = match policy {
            Policy::Sliding { stride } => Plan::Sliding { context, stride: stride.unwrap_or((context / 2).max(1)) },
            Policy::Rolling => Plan::Rolling { context },
            Policy::Carried => Plan::Carried { segment: self.context.unwrap_or(context.min(SEGMENT)) },
        };
        if policy == Policy::Rolling && self.begin == Begin::None {
            return Err(Error::usage("rolling windows predict every token, so the first needs one before it")
                .hint("name a first token, or take sliding windows"));
        }
        if plan == (Plan::Carried { segment: 0 }) {
            return Err(Error::usage("segments of 0 tokens").hint("it must be 1 at least"));
        }
        plan.windows(0)?; // impossible windows are refused before any text
        Ok(plan)
    }
}

impl Plan {
    /// The windows of a sequence of `n` tokens, the first token included; none where memory is carried on instead.
    pub(super) fn windows(&self, n: usize) -> Result<Vec<Window>> {
        match *self {
            Plan::Sliding { context, stride } => sliding(n, context, stride),
            Plan::Rolling { context } => rolling(n.saturating_sub(1), context, 1),
            Plan::Carried { .. } => Ok(Vec::new()),
        }
    }
}
