//! The types of ROUGE and their names.

use crate::error::{Error, Result};
use std::str::FromStr;

/// What ROUGE counts: n-grams, or words of a longest common subsequence (Lin 2004, sections 2 and 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RougeType {
    /// Matching n-grams, n from 1 to 9.
    N(u8),
    /// A longest common subsequence of the whole texts, taken as one sentence.
    L,
    /// For each sentence of the reference, the union of its subsequences with all sentences of the hypothesis.
    Lsum,
}

impl RougeType {
    /// rouge_score's name: `rouge1`…`rouge9`, `rougeL`, `rougeLsum`. [`FromStr`] reads it back.
    pub fn name(self) -> String {
        format!("rouge{}", self.suffix())
    }

    /// What tables say: `ROUGE-1`, `ROUGE-L`, `ROUGE-Lsum`.
    pub fn title(self) -> String {
        format!("ROUGE-{}", self.suffix())
    }

    /// What tells the type in a signature: `1`, `L`, `Lsum`.
    pub fn suffix(self) -> String {
        match self {
            RougeType::N(n) => n.to_string(),
            RougeType::L => "L".to_owned(),
            RougeType::Lsum => "Lsum".to_owned(),
        }
    }
}

impl FromStr for RougeType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.strip_prefix("rouge") {
            Some("L") => Ok(RougeType::L),
            Some("Lsum") => Ok(RougeType::Lsum),
            Some(n) if matches!(n.as_bytes(), [b'1'..=b'9']) => Ok(RougeType::N(n.as_bytes()[0] - b'0')),
            _ => Err(Error::usage(format!("no ROUGE type `{name}`")).hint("the types are `rouge1` to `rouge9`, `rougeL` and `rougeLsum`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let all = (1..=9).map(RougeType::N).chain([RougeType::L, RougeType::Lsum]);
        for kind in all {
            assert_eq!(kind.name().parse::<RougeType>().unwrap(), kind);
            assert_eq!(kind.title(), format!("ROUGE-{}", kind.suffix()));
        }
        for wrong in ["", "rouge", "rouge0", "rouge10", "rougel", "rougeLSum", "ROUGE-1", "1", "rouge١"] {
            let error = wrong.parse::<RougeType>().unwrap_err();
            assert_eq!((error.message(), error.exit_code()), (format!("no ROUGE type `{wrong}`").as_str(), 2));
        }
    }
}
