//! `zh`: Chinese characters stand alone; the rest is cut as in `13a`, whose entities it leaves as they are.

use super::scan::Class;
use super::{is_space, mteval};

pub(super) fn class(c: char) -> Class {
    match c {
        _ if is_space(c) => Class::Space,
        _ if is_chinese(c) => Class::Symbol,
        _ => mteval::class(c),
    }
}

/// What sacreBLEU takes for Chinese. It writes supplementary ranges with four digits too few, U+2000 and `0` for U+20000, and
/// compares strings: so nearly everything from U+2001 to U+2A6D is in, dashes and quotation marks too, and extension B is out.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{2001}'..='\u{2a6d}' | '\u{2e80}'..='\u{2fdf}' | '\u{2ff0}'..='\u{303f}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31ef}'
        | '\u{3200}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}' | '\u{fa30}'..='\u{fa6a}' | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ffef}')
}
