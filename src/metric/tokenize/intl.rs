//! `intl`: the international mode of mteval-v14.pl.

use super::scan::Class;
use crate::space::is_space;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Symbols stand alone (category S), and so does punctuation (P) that is not between numbers (N).
pub(super) fn class(c: char) -> Class {
    if is_space(c) {
        return Class::Space;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Punctuation => Class::Stop,
        GeneralCategoryGroup::Symbol => Class::Symbol,
        GeneralCategoryGroup::Number => Class::Digit,
        _ => Class::Letter,
    }
}
