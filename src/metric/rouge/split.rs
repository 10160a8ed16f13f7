//! Where sentences end, for `rougeLsum`.

use super::punkt::Punkt;
use super::rule;
use std::sync::Arc;

/// How texts are cut into sentences.
#[derive(Debug, Clone, Default)]
pub enum Split {
    /// At every newline and nowhere else: rouge_score's default.
    #[default]
    Newline,
    /// With a model of NLTK's: rouge_score's `split_summaries=True`.
    Punkt(Arc<Punkt>),
    /// By a few rules of our own, for those who have no such model; not NLTK's sentences.
    Rule,
}

impl Split {
    /// What a signature says; nothing for the default.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Split::Newline => None,
            Split::Punkt(_) => Some("punkt"),
            Split::Rule => Some("rule"),
        }
    }

    /// Hands the sentences of `text` on, some of them perhaps blank. Together they hold all its words.
    pub(super) fn each<'t>(&self, text: &'t str, take: impl FnMut(&'t str)) {
        match self {
            Split::Newline => text.split('\n').for_each(take),
            Split::Punkt(punkt) => punkt.sentences(text).into_iter().for_each(take),
            Split::Rule => rule::sentences(text).for_each(take),
        }
    }
}
