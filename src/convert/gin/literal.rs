//! Values in a gin file.

use std::fmt;

/// `@scope/module.Name` or `@scope/module.Name()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Scopes, outermost first.
    pub scopes: Vec<String>,
    /// The function without its module.
    pub name: String,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// Text.
    Text(String),
    /// `(…)`.
    Tuple(Vec<Literal>),
    /// `[…]`.
    List(Vec<Literal>),
    /// `{…}`.
    Dict(Vec<(Literal, Literal)>),
    /// `@…`.
    Reference(Reference),
    /// `%…`.
    Macro(String),
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Literal]| {
            items.iter().enumerate().try_for_each(|(i, v)| write!(f, "{}{v}", if i == 0 { "" } else { ", " }))
        };
        match self {
            Literal::None => f.write_str("None"),
            Literal::Bool(true) => f.write_str("True"),
            Literal::Bool(false) => f.write_str("False"),
            Literal::Int(n) => write!(f, "{n}"),
            Literal::Float(x) => write!(f, "{x}"),
            Literal::Text(text) => write!(f, "'{}'", text.escape_debug()),
            Literal::Tuple(items) => {
                f.write_str("(")?;
                list(f, items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Literal::List(items) => {
                f.write_str("[")?;
                list(f, items)?;
                f.write_str("]")
            }
            Literal::Dict(_) => f.write_str("{…}"),
            Literal::Reference(r) => {
                f.write_str("@")?;
                r.scopes.iter().try_for_each(|s| write!(f, "{s}/"))?;
                f.write_str(&r.name)
            }
            Literal::Macro(name) => write!(f, "%{name}"),
        }
    }
}

impl Literal {
    /// The items of a tuple or a list.
    pub fn items(&self) -> Option<&[Literal]> {
        match self {
            Literal::Tuple(items) | Literal::List(items) => Some(items),
            _ => None,
        }
    }
}
