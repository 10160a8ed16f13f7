//! `--attention`: another attention on the same weights, where a family allows it.

use super::Arch;
use crate::error::{Error, Result};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// The key under which [`crate::checkpoint`] tells an architecture what was chosen.
pub(crate) const KEY: &str = "attention_choice";

/// Which attention an encoder runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// What the checkpoint's own library runs, at every length.
    #[default]
    Auto,
    /// Every token sees every token.
    Full,
    /// What is sparse stays so at lengths at which the library takes full attention.
    Sparse,
    /// A token sees itself and half as many tokens on each side.
    Window(usize),
    /// Blocks of so many tokens.
    Block(usize),
    /// Random blocks are drawn as the paper has it, from this seed and the layer's number.
    Paper(u32),
}

const SPELLINGS: &str = "`auto`, `full`, `sparse`, `window=N`, `block=N`, `paper` or `paper=SEED`";

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, number) = text.split_once('=').map_or((text, None), |(name, number)| (name, Some(number)));
        let count = |what: &str| match number.map(str::parse::<usize>) {
            Some(Ok(n)) if n > 0 && n <= 1 << 30 => Ok(n),
            Some(_) => Err(format!("`{text}`: not a number of tokens from 1 to {}", 1 << 30)),
            None => Err(format!("`{name}` needs a number: `{name}={what}`")),
        };
        match (name, number) {
            ("auto", None) => Ok(Self::Auto),
            ("full", None) => Ok(Self::Full),
            ("sparse", None) => Ok(Self::Sparse),
            ("window", _) => match count("512")? {
                n if n % 2 == 0 => Ok(Self::Window(n)),
                n => Err(format!("`{text}`: a window has as many tokens on each side, {n} is odd")),
            },
            ("block", _) => Ok(Self::Block(count("64")?)),
            ("paper", None) => Ok(Self::Paper(0)),
            ("paper", Some(seed)) => seed.parse().map(Self::Paper).map_err(|_| format!("`{text}`: the seed is a number below 2^32")),
            _ => Err(format!("not {SPELLINGS}")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Full => f.write_str("full"),
            Self::Sparse => f.write_str("sparse"),
            Self::Window(n) => write!(f, "window={n}"),
            Self::Block(n) => write!(f, "block={n}"),
            Self::Paper(seed) => write!(f, "paper={seed}"),
        }
    }
}

impl Choice {
    /// What the configuration asks of an architecture. Fails where the family does not allow it.
    pub(super) fn of(config: &Value, arch: &Arch) -> Result<Self> {
        let Some(asked) = config.get(KEY) else { return Ok(Self::Auto) };
        let choice: Self = asked
            .as_str()
            .ok_or_else(|| format!("{asked} is no string"))
            .and_then(str::parse)
            .map_err(|e| Error::usage(format!("attention {asked}: {e}")).hint(format!("it is one of {SPELLINGS}")))?;
        choice.check(arch)?;
        Ok(choice)
    }

    /// Fails where the family does not allow it.
    pub(crate) fn check(self, arch: &Arch) -> Result<()> {
        let name = self.to_string();
        let kind = name.split('=').next().unwrap_or_default();
        if self == Self::Auto || arch.attentions.iter().any(|a| a.split('=').next() == Some(kind)) {
            return Ok(());
        }
        let hint = match arch.attentions {
            [] => "its weights know one attention: leave `--attention` out".to_owned(),
            some => format!("on its weights run `auto`, {}", some.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")),
        };
        Err(Error::usage(format!("`{}` does not run with `--attention {self}`", arch.model_type)).hint(hint))
    }

    /// How far a token sees on each side, if this is a window.
    pub(super) fn reach(self) -> Option<usize> {
        match self {
            Self::Window(n) => Some(n / 2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let all = [Choice::Auto, Choice::Full, Choice::Sparse, Choice::Window(512), Choice::Block(64), Choice::Paper(7)];
        all.iter().for_each(|c| assert_eq!(c.to_string().parse(), Ok(*c)));
        assert_eq!("paper".parse(), Ok(Choice::Paper(0)));
        for bad in [
            "",
            "Full",
            "full=1",
            "window",
            "window=3",
            "window=0",
            "window=-2",
            "block=",
            "block=99999999999",
            "paper=x",
            "paper=4294967296",
        ] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }
}
