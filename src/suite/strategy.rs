//! How a case picks tokens: `greedy`, `sample`, `beam4`.

use std::fmt;
use std::str::FromStr;

/// How a case picks tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The likeliest token: `greedy`.
    Greedy,
    /// One drawn at random: `sample`.
    Sample,
    /// Beam search with this many beams, at least 2: `beam4`.
    Beam(usize),
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Greedy => f.write_str("greedy"),
            Strategy::Sample => f.write_str("sample"),
            Strategy::Beam(n) => write!(f, "beam{n}"),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    /// Fails with what would have been right.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || "it is `greedy`, `sample` or `beam` with the number of beams, such as `beam4`".to_owned();
        match text {
            "greedy" => Ok(Strategy::Greedy),
            "sample" => Ok(Strategy::Sample),
            "beam1" => Err("one beam is `greedy`".to_owned()),
            _ => {
                let digits = text.strip_prefix("beam").ok_or_else(known)?;
                // one spelling of a number, so that equal strategies are equal text
                let plain = digits.starts_with(|c: char| ('1'..='9').contains(&c)) && digits.bytes().all(|b| b.is_ascii_digit());
                let beams = digits.parse().ok().filter(|_| plain);
                beams.map(Strategy::Beam).ok_or_else(known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, strategy) in
            [("greedy", Strategy::Greedy), ("sample", Strategy::Sample), ("beam2", Strategy::Beam(2)), ("beam12", Strategy::Beam(12))]
        {
            assert_eq!(text.parse(), Ok(strategy));
            assert_eq!(strategy.to_string(), text);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "Greedy",
            "beam",
            "beam0",
            "beam04",
            "beam+4",
            "beam-4",
            "beam 4",
            "beam4 ",
            "beams4",
            "beam99999999999999999999",
            "greedy,beam4",
        ] {
            let known = "it is `greedy`, `sample` or `beam` with the number of beams, such as `beam4`";
            assert_eq!(text.parse::<Strategy>(), Err(known.to_owned()), "{text}");
        }
        assert_eq!("beam1".parse::<Strategy>(), Err("one beam is `greedy`".to_owned()));
    }
}
