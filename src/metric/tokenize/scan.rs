//! Words from classes of characters, in one pass and without a copy.
//!
//! sacreBLEU rewrites the line with regular expressions, one after the other, and splits the result at white space. Its rules
//! for a stop (`.` and `,`, or any punctuation) are, with digits D:
//!
//! ```text
//! ([^D])(stop) → "\1 \2 "      and then      (stop)([^D]) → " \1 \2"
//! ```
//!
//! Matches do not overlap: where the first rule has taken a stop together with what is before it, the next stop's turn is with
//! the one after. So in a run of stops the rule goes by pairs. After something that is no digit the pairs are (before, 1),
//! (2, 3), …; after a digit they are (1, 2), (3, 4), …; and the second member of a pair is cut off from what follows. By the
//! second rule, every stop is cut off from what is before it, except one between two digits. In the end all stops of a run are
//! words of their own, but the last belongs to a digit that follows if no pair has ended with it. Start and end of a line are to
//! stops what a digit is: neither can be the `[^D]` of a rule.

/// What a character is to a tokeniser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Part of a word.
    Letter,
    /// Part of a word that protects stops beside it.
    Digit,
    /// Between words.
    Space,
    /// A word of its own.
    Symbol,
    /// A word of its own where no digits are near.
    Stop,
    /// A word of its own after a digit; else part of a word.
    Dash,
    /// No character but an end of the line: to stops what a digit is.
    Edge,
}

/// Makes words of a line.
#[derive(Debug)]
pub(super) struct Scanner {
    class: fn(char) -> Class,
    ascii: [Class; 128],
    /// bytes that are simply part of a word
    plain: [bool; 256],
    edge: Class,
}

impl Scanner {
    /// `edge` is what is before and after the line.
    pub(super) fn new(class: fn(char) -> Class, edge: Class) -> Self {
        let ascii = std::array::from_fn(|c| class(c as u8 as char));
        let plain = std::array::from_fn(|c| matches!(ascii.get(c), Some(Class::Letter | Class::Digit)));
        Self { class, ascii, plain, edge }
    }

    /// Hands over the words of `line`, from left to right.
    pub(super) fn words(&self, line: &str, mut word: impl FnMut(&[u8])) {
        let bytes = line.as_bytes();
        let mut word = |from: usize, to: usize| {
            if from < to {
                word(&bytes[from..to]);
            }
        };
        let (mut start, mut at) = (0, 0);
        loop {
            at += bytes[at..].iter().take_while(|b| self.plain[usize::from(**b)]).count();
            if at == bytes.len() {
                break;
            }
            let (class, width) = self.class(line, at);
            match class {
                Class::Letter | Class::Digit | Class::Edge => at += width,
                Class::Dash if self.before(line, at) != Class::Digit => at += width,
                Class::Stop => (start, at) = self.stops(line, start, at, &mut word),
                Class::Space | Class::Symbol | Class::Dash => {
                    word(start, at);
                    if class != Class::Space {
                        word(at, at + width);
                    }
                    at += width;
                    start = at;
                }
            }
        }
        word(start, at);
    }

    /// The run of stops at `at`: where the word at hand starts now, and the end of the run.
    fn stops(&self, line: &str, start: usize, at: usize, word: &mut impl FnMut(usize, usize)) -> (usize, usize) {
        let (mut last, mut end, mut count, mut after) = (at, at, 0, self.edge);
        while end < line.len() {
            let (class, width) = self.class(line, end);
            if class != Class::Stop {
                after = class;
                break;
            }
            (last, end, count) = (end, end + width, count + 1);
        }
        let protects = |class| matches!(class, Class::Digit | Class::Edge);
        let unpaired = protects(self.before(line, at)) == (count % 2 == 1);
        let bound = unpaired && protects(after);
        if bound && count == 1 {
            return (start, end);
        }
        word(start, at);
        let alone = if bound { last } else { end };
        let mut next = at;
        while next < alone {
            let width = self.class(line, next).1;
            word(next, next + width);
            next += width;
        }
        (alone, end)
    }

    /// Class and bytes of the character at `at`.
    fn class(&self, line: &str, at: usize) -> (Class, usize) {
        let byte = line.as_bytes()[at];
        if byte < 128 {
            return (self.ascii[usize::from(byte)], 1);
        }
        line[at..].chars().next().map_or((Class::Letter, 1), |c| ((self.class)(c), c.len_utf8()))
    }

    /// Class of the character before `at`.
    fn before(&self, line: &str, at: usize) -> Class {
        line[..at].chars().next_back().map_or(self.edge, |c| (self.class)(c))
    }
}
