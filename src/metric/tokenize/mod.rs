//! sacreBLEU's tokenisers. Each of them is a classification of characters; `scan` makes words of the classes.

mod intl;
mod mteval;
mod scan;
mod zh;

#[cfg(test)]
mod naive;

use crate::space::is_space;
use scan::{Class, Scanner};
use std::borrow::Cow;

/// How BLEU cuts a text into words, by sacreBLEU's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Tokenizer {
    /// `13a`: that of the NIST script mteval-v13a.
    #[default]
    #[value(name = "13a")]
    V13a,
    /// `intl`: that of mteval-v14 with `--international-tokenization`, punctuation and symbols as Unicode has them.
    Intl,
    /// `char`: every character is a word.
    Char,
    /// `zh`: Chinese characters are words; the rest as in `13a`.
    Zh,
    /// `none`: words are what white space separates.
    None,
}

impl Tokenizer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::V13a, Self::Intl, Self::Char, Self::Zh, Self::None];

    /// sacreBLEU's name, as in its signatures.
    pub fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::Intl => "intl",
            Self::Char => "char",
            Self::Zh => "zh",
            Self::None => "none",
        }
    }
}

/// A tokeniser ready for use.
#[derive(Debug)]
pub struct Splitter {
    tokenizer: Tokenizer,
    scanner: Scanner,
}

impl Splitter {
    /// The tokeniser of that name.
    pub fn new(tokenizer: Tokenizer) -> Self {
        let scanner = match tokenizer {
            Tokenizer::V13a => Scanner::new(mteval::class, Class::Space),
            Tokenizer::Intl => Scanner::new(intl::class, Class::Edge),
            Tokenizer::Char => Scanner::new(|c| if is_space(c) { Class::Space } else { Class::Symbol }, Class::Space),
            Tokenizer::Zh => Scanner::new(zh::class, Class::Edge),
            Tokenizer::None => Scanner::new(|c| if is_space(c) { Class::Space } else { Class::Letter }, Class::Space),
        };
        Self { tokenizer, scanner }
    }

    /// Hands over the words of a segment, from left to right.
    pub fn words(&self, text: &str, word: impl FnMut(&[u8])) {
        let text = text.trim_end_matches(is_space);
        let text = match self.tokenizer {
            Tokenizer::V13a => mteval::unescaped(text),
            Tokenizer::Zh => Cow::Borrowed(text.trim_start_matches(is_space)),
            _ => Cow::Borrowed(text),
        };
        self.scanner.words(&text, word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokenizer: Tokenizer, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        Splitter::new(tokenizer).words(text, |w| words.push(String::from_utf8(w.to_vec()).expect("whole characters")));
        words
    }

    /// Segments and what sacreBLEU 2.6.0 makes of them.
    #[test]
    fn equals_sacrebleu() {
        use Tokenizer::*;
        for (tokenizer, text, expected) in [
            (
                V13a,
                "Hello, world! It's 3.5% of $1,000 -- e.g. U.S.-based...",
                "Hello , world ! It's 3.5 % of $ 1,000 -- e . g . U . S . -based . . .",
            ),
            (V13a, "a-b 10-20 x. 1.5, and,2 .5", "a-b 10 - 20 x . 1.5 , and , 2 . 5"),
            (V13a, "&quot;A&amp;B&quot; &lt;x&gt; [y]{z}|~`^_", "\" A & B \" < x > [ y ] { z } | ~ ` ^ _"),
            (V13a, "don't stop (now)/later: no;yes?", "don't stop ( now ) / later : no ; yes ?"),
            (V13a, "5.,5 a..5 a...5 5..5 5...5 .5. 5.", "5 . , 5 a . .5 a . . . 5 5 . . 5 5 . . .5 . 5 . 5 ."),
            (V13a, "1--2 5-. 7-a", "1 - -2 5 - . 7 - a"),
            (V13a, "co-\noperate co-\n", "cooperate co-"),
            (V13a, "<ski<skipped>pped> &amp;lt; &amp;quot; &apos;", "< skipped > < & quot ; & apos ;"),
            (V13a, "a\u{1c}b\u{85}c\u{2009}d — “e”…", "a b c d — “e”…"),
            (Zh, "2020.", "2020."),
            (Zh, ".5 北京,3.5是 — “e”…ｘ", ".5 北 京 , 3.5 是 — “ e ” … ｘ"),
            (Zh, "\t.5", ".5"),
            (Zh, "𠀀 a-1-2 &amp;", "𠀀 a-1 - 2 & amp ;"),
            (Zh, "  ", ""),
            (Intl, "1,000.5 (a) 2-3, «x»…—y 5€ ½.½ 2020.", "1,000.5 ( a ) 2-3 , « x » … — y 5 € ½.½ 2020."),
            (Intl, " .5 ", ". 5"),
            (Intl, "a_b §3 ٣٫٥ Ⅷ.", "a _ b § 3 ٣٫٥ Ⅷ."),
            (Intl, "!!1 1!!1 1!!!1 a!!1", "! ! 1 1 ! ! 1 1 ! ! !1 a ! !1"),
            (Char, "ab c\u{1c}é \u{3000}", "a b c é"),
            (None, " a,b\u{1f} c. \u{85}d \u{200b}e", "a,b c. d \u{200b}e"),
        ] {
            assert_eq!(words(tokenizer, text).join(" "), expected, "{tokenizer:?} of {text:?}");
        }
    }

    /// The same as rewriting the line pass after pass, on random text in which every rule meets every other.
    #[test]
    fn equals_passes_one_after_the_other() {
        const PIECES: [&str; 36] = [
            ".",
            ".",
            ",",
            "-",
            "-",
            "&",
            ";",
            "0",
            "7",
            "a",
            "A",
            "{",
            "~",
            "'",
            "\n",
            "\n",
            "<",
            ">",
            " ",
            " ",
            "\t",
            "\u{1c}",
            "\u{85}",
            "\u{a0}",
            "é",
            "…",
            "—",
            "½",
            "٣",
            "€",
            "中",
            "。",
            "\u{2009}",
            "🙂",
            "&amp;",
            "<skipped>",
        ];
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..100_000 {
            let text: String = (0..random(14)).map(|_| PIECES[random(PIECES.len())]).collect();
            let tokenizer = Tokenizer::ALL[random(5)];
            assert_eq!(words(tokenizer, &text), naive::words(tokenizer, &text), "{tokenizer:?} of {text:?}");
        }
    }
}
