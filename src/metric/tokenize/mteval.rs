//! `13a`: sacreBLEU's form of the tokeniser of NIST's mteval-v13a.pl, without its international mode.

use super::scan::Class;
use crate::space::is_space;
use std::borrow::Cow;

/// All ASCII punctuation stands alone, but `'` never, `.` and `,` not between digits, and `-` only after one.
pub(super) fn class(c: char) -> Class {
    match c {
        '.' | ',' => Class::Stop,
        '-' => Class::Dash,
        '\'' => Class::Letter,
        '0'..='9' => Class::Digit,
        _ if is_space(c) => Class::Space,
        _ if c.is_ascii_punctuation() => Class::Symbol,
        _ => Class::Letter,
    }
}

/// The line without `<skipped>` and without hyphens at line ends, and with four entities as characters.
pub(super) fn unescaped(line: &str) -> Cow<'_, str> {
    if !(line.contains('&') || line.contains("-\n") || line.contains("<skipped>")) {
        return Cow::Borrowed(line);
    }
    const PASSES: [(&str, &str); 6] = [("<skipped>", ""), ("-\n", ""), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];
    Cow::Owned(PASSES.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to)))
}
