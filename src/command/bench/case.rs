//! What is measured: a [`Case`], one line of the table.

use crate::kernel::precision::Precision;
use crate::model::Info;
use crate::suite::Strategy;

/// One case: everything that its figures depend on but the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Number of the model in the plan.
    pub model: usize,
    /// What is done.
    pub test: Test,
    /// Documents at once.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Type of the weights.
    pub dtype: Precision,
    /// How tokens are chosen.
    pub strategy: Strategy,
}

/// What is done in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// An encoder reads `source` tokens; then, if there are any, `new` tokens are written behind `depth` that the decoder holds already.
    Encoder {
        /// Tokens of the document.
        source: usize,
        /// Tokens in the decoder before the first new one, its start token not counted.
        depth: usize,
        /// New tokens.
        new: usize,
    },
    /// A decoder-only model reads a prompt of so many tokens and gives the first new one.
    Prompt(usize),
    /// A decoder-only model writes `new` tokens behind `depth`.
    Generate {
        /// Tokens read before, the one that the first step reads not counted.
        depth: usize,
        /// New tokens.
        new: usize,
    },
}

impl Test {
    /// Its name in llama-bench's manner.
    pub fn name(self) -> String {
        let behind = |depth: usize, sign: &str| if depth > 0 { format!(" {sign}d{depth}") } else { String::new() };
        match self {
            Test::Encoder { source, new: 0, .. } => format!("enc{source}"),
            Test::Encoder { source, depth, new } => format!("dec{new} @ e{source}{}", behind(depth, "")),
            Test::Prompt(n) => format!("pp{n}"),
            Test::Generate { depth, new } => format!("tg{new}{}", behind(depth, "@ ")),
        }
    }

    /// Tokens of document or prompt that the test is about.
    pub fn prompt(self) -> usize {
        match self {
            Test::Encoder { source, .. } => source,
            Test::Prompt(n) => n,
            Test::Generate { .. } => 0,
        }
    }

    /// Tokens that the decoder holds before the first new one.
    pub fn depth(self) -> usize {
        match self {
            Test::Encoder { depth, .. } | Test::Generate { depth, .. } => depth,
            Test::Prompt(_) => 0,
        }
    }

    /// New tokens that the test is about.
    pub fn new_tokens(self) -> usize {
        match self {
            Test::Encoder { new, .. } | Test::Generate { new, .. } => new,
            Test::Prompt(_) => 0,
        }
    }

    /// Steps of a run: a prompt ends with the step that gives its first token.
    pub fn steps(self) -> usize {
        match self {
            Test::Prompt(_) => 1,
            _ => self.new_tokens(),
        }
    }

    /// Tokens that the model is given to read before its first step.
    pub fn source(self) -> usize {
        match self {
            Test::Encoder { source, .. } => source,
            Test::Prompt(n) => n,
            Test::Generate { depth, .. } => depth.saturating_add(1),
        }
    }

    /// Tokens of context that times and memory are drawn against: the document, or what the decoder holds in the end.
    pub fn length(self) -> usize {
        match self {
            Test::Encoder { source, .. } => source,
            Test::Prompt(n) => n,
            Test::Generate { depth, new } => depth.saturating_add(new),
        }
    }

    /// Tokens that the test's own time is for: those read if nothing is written, else those written.
    pub fn tokens(self) -> usize {
        if self.new_tokens() > 0 { self.new_tokens() } else { self.prompt() }
    }

    /// Tokens that the decoder has read at the end of a run, of an encoder-decoder with its start token.
    pub fn target(self) -> usize {
        match self {
            Test::Encoder { new: 0, .. } => 0,
            Test::Encoder { depth, new, .. } | Test::Generate { depth, new } => depth.saturating_add(new),
            Test::Prompt(n) => n,
        }
    }
}

impl Case {
    /// Hypotheses of a document.
    pub fn beams(&self) -> usize {
        match self.strategy {
            Strategy::Beam(n) => n,
            Strategy::Greedy | Strategy::Sample => 1,
        }
    }

    /// Rows of the state: hypotheses of all documents.
    pub fn rows(&self) -> usize {
        self.batch.saturating_mul(self.beams())
    }

    /// Why a model cannot do it, if it cannot.
    pub fn beyond(&self, info: &Info) -> Option<String> {
        let (source, target) = (self.test.source(), self.test.target());
        let most = |limit: Option<usize>, n: usize| limit.filter(|most| n > *most);
        if let Some(most) = (info.encoder_decoder || info.reads_only.is_some()).then(|| most(info.max_source, source)).flatten() {
            return Some(format!("{source} tokens are more than the {most} that its encoder reads"));
        }
        let most = most(info.max_target, target)?;
        Some(format!("{target} tokens are more than the {most} that its decoder holds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_llama_bench_gives_them() {
        let names = [
            Test::Encoder { source: 16_384, depth: 0, new: 0 },
            Test::Encoder { source: 16_384, depth: 0, new: 128 },
            Test::Encoder { source: 512, depth: 64, new: 32 },
            Test::Prompt(512),
            Test::Generate { depth: 0, new: 128 },
            Test::Generate { depth: 512, new: 128 },
        ]
        .map(Test::name);
        assert_eq!(names, ["enc16384", "dec128 @ e16384", "dec32 @ e512 d64", "pp512", "tg128", "tg128 @ d512"]);
    }
}
