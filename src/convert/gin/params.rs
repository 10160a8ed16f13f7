//! The parameters of one function, each to be taken or explained away.

use super::literal::{Literal, Reference};
use super::{Binding, Gin};
use crate::error::{Error, Result};
use crate::nearest::nearest;
use std::cell::RefCell;

/// What a function's call gets.
pub struct Params<'g> {
    gin: &'g Gin,
    function: String,
    bound: Vec<&'g Binding>,
    /// Parameters that the function has, as far as anybody asked.
    known: RefCell<Vec<String>>,
}

impl Gin {
    /// The parameters of a function called in the scopes of its reference: what is bound deeper in them goes before what is bound outside, the
    /// last line before earlier ones.
    pub fn params(&self, of: &Reference) -> Params<'_> {
        let mut bound: Vec<&Binding> = Vec::new();
        let outwards = self.bindings.iter().filter(|b| b.function == of.name && of.scopes.starts_with(&b.scopes));
        for binding in outwards {
            match bound.iter_mut().find(|b| b.parameter == binding.parameter) {
                Some(there) if there.scopes.len() > binding.scopes.len() => (),
                Some(there) => *there = binding,
                None => bound.push(binding),
            }
        }
        Params { gin: self, function: of.name.clone(), bound, known: RefCell::default() }
    }
}

impl<'g> Params<'g> {
    fn find(&self, name: &str) -> Option<&'g Binding> {
        let mut known = self.known.borrow_mut();
        if !known.iter().any(|k| k == name) {
            known.push(name.to_owned());
        }
        self.bound.iter().copied().find(|b| b.parameter == name)
    }

    /// Whether a parameter is bound.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// An error of a parameter: where it is bound, else which function it belongs to.
    pub fn error(&self, name: &str, what: impl std::fmt::Display) -> Error {
        match self.find(name) {
            Some(b) => self.gin.at(b.line, format!("`{}.{name}` {what}", self.function)),
            None => Error::new(format!("{}: `{}.{name}` {what}", self.gin.name, self.function)),
        }
    }

    /// A parameter's value, macros put in; none where it is not bound.
    pub fn get(&self, name: &str) -> Result<Option<Literal>> {
        self.find(name).map(|b| self.gin.resolve(&b.value, b.line)).transpose()
    }

    /// A whole number of at most 2³¹; without a default it has to be bound.
    pub fn size(&self, name: &str, default: Option<usize>) -> Result<usize> {
        match self.get(name)? {
            None => default.ok_or_else(|| {
                self.error(name, "is not bound")
                    .hint("give the operative configuration, `config.gin`, that trax writes beside a checkpoint")
            }),
            Some(value) => self.whole(name, &value),
        }
    }

    /// The same, where `None` stands for the default too.
    pub fn size_or(&self, name: &str, default: usize) -> Result<usize> {
        match self.get(name)? {
            None | Some(Literal::None) => Ok(default),
            Some(value) => self.whole(name, &value),
        }
    }

    /// A value as a whole number of at most 2³¹.
    pub fn whole(&self, name: &str, value: &Literal) -> Result<usize> {
        match value {
            Literal::Int(n) if (0..=1 << 31).contains(n) => Ok(*n as usize),
            // trax computes some sizes as d_model / 2
            Literal::Float(x) if x.fract() == 0.0 && (0.0..=2147483648.0).contains(x) => Ok(*x as usize),
            other => Err(self.error(name, format!("is {other}, not a size"))),
        }
    }

    /// `True` or `False`.
    pub fn truth(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name)? {
            None => Ok(default),
            Some(Literal::Bool(b)) => Ok(b),
            Some(other) => Err(self.error(name, format!("is {other}, neither True nor False"))),
        }
    }

    /// Text, or none where the value is `None`; `default` where it is not bound.
    pub fn text(&self, name: &str, default: Option<&str>) -> Result<Option<String>> {
        match self.get(name)? {
            None => Ok(default.map(str::to_owned)),
            Some(Literal::None) => Ok(None),
            Some(Literal::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(name, format!("is {other}, not a text"))),
        }
    }

    /// One of several words.
    pub fn choice<'c>(&self, name: &str, choices: &[&'c str]) -> Result<&'c str> {
        let given = self.text(name, choices.first().copied())?.unwrap_or_default();
        choices.iter().find(|c| **c == given).copied().ok_or_else(|| {
            self.error(name, format!("is '{given}'"))
                .hint(format!("known are {}", choices.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ")))
        })
    }

    /// Fails unless a parameter that changes the mathematics is at the one value that is supported.
    pub fn only(&self, name: &str, allowed: &[Literal]) -> Result<()> {
        match self.get(name)? {
            Some(value) if !allowed.contains(&value) => {
                let allowed = allowed.iter().map(|a| format!("{a}")).collect::<Vec<_>>().join(" or ");
                Err(self
                    .error(name, format!("is {value}, which changes the model and is not supported"))
                    .hint(format!("only {allowed} can be converted")))
            }
            _ => Ok(()),
        }
    }

    /// Notes parameters that change nothing outside training; which of them are bound.
    pub fn ignore(&self, names: &[&str]) -> Vec<String> {
        names.iter().filter(|n| self.find(n).is_some()).map(|n| format!("{}.{n}", self.function)).collect()
    }

    /// Fails on a bound parameter that nobody asked for.
    pub fn finish(&self) -> Result<()> {
        let known = self.known.borrow();
        let Some(stranger) = self.bound.iter().find(|b| !known.contains(&b.parameter)) else { return Ok(()) };
        let error = self.gin.at(stranger.line, format!("`{}` has no parameter `{}`", self.function, stranger.parameter));
        Err(match nearest(&stranger.parameter, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => {
                error.hint("remove the line if it changes nothing outside training; a parameter that changes the model cannot be left out")
            }
        })
    }
}
