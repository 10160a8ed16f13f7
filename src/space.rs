//! White space as Python has it, because the tools whose numbers are matched are written in Python.

/// What `str.split`, `str.strip` and `\s` take for white space: Unicode's, and the four separators of ASCII.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
