//! gin files: which model was trained, with which parameters.
//!
//! What is read is the part of the language that configurations of trax use: bindings `scope/Function.parameter = value`, macros, imports
//! (which say nothing here), Python's literals, `@references` and `%macros`. `include` is refused: the operative configuration that trax writes
//! beside a checkpoint, `config.gin`, has everything in one file.

mod literal;
mod params;
mod scan;

pub use literal::{Literal, Reference};
pub use params::Params;
pub use scan::Scanner;

use crate::error::{Error, Result};

/// Macros that stand for macros at most.
const CHAIN: usize = 20;

/// One binding of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Line in the file, from 1.
    pub line: usize,
    /// Scopes before the function, outermost first.
    pub scopes: Vec<String>,
    /// The function without its module.
    pub function: String,
    /// The parameter.
    pub parameter: String,
    /// What it is bound to.
    pub value: Literal,
}

/// A file.
#[derive(Debug)]
pub struct Gin {
    /// Its name, for errors.
    pub name: String,
    /// All bindings in order.
    pub bindings: Vec<Binding>,
    macros: Vec<(String, usize, Literal)>,
}

impl Gin {
    /// Reads a file's text.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut gin = Self { name: name.to_owned(), bindings: Vec::new(), macros: Vec::new() };
        let mut scan = Scanner::new(name, text);
        while scan.next_statement() {
            let line = scan.line();
            let word = scan.selector()?;
            match word.as_str() {
                "import" | "from" => scan.skip_line(),
                "include" => {
                    return Err(scan.error("`include` is not followed").hint(
                        "give the operative configuration, the `config.gin` that trax writes beside a checkpoint: it has everything in it; or put the included file's lines here",
                    ));
                }
                _ => {
                    scan.equals()?;
                    let value = scan.value()?;
                    scan.end_of_statement()?;
                    gin.bind(&word, line, value)?;
                }
            }
        }
        Ok(gin)
    }

    fn bind(&mut self, selector: &str, line: usize, value: Literal) -> Result<()> {
        let mut scopes: Vec<String> = selector.split('/').map(str::to_owned).collect();
        let last = scopes.pop().unwrap_or_default();
        let Some((function, parameter)) = last.rsplit_once('.') else {
            self.macros.push((selector.to_owned(), line, value));
            return Ok(());
        };
        let function = function.rsplit('.').next().unwrap_or_default();
        if function.is_empty() || parameter.is_empty() || scopes.iter().any(String::is_empty) {
            return Err(self.at(line, format!("`{selector}` is no `scope/Function.parameter`")));
        }
        // `name/macro.value` is the long form of a macro
        if (function, parameter) == ("macro", "value") {
            self.macros.push((scopes.join("/"), line, value));
            return Ok(());
        }
        self.bindings.push(Binding { line, scopes, function: function.to_owned(), parameter: parameter.to_owned(), value });
        Ok(())
    }

    /// An error in a line of this file.
    pub fn at(&self, line: usize, what: impl std::fmt::Display) -> Error {
        Error::new(format!("{}:{line}: {what}", self.name))
    }

    /// A value with its macros put in. A macro may stand anywhere inside it.
    pub fn resolve(&self, value: &Literal, line: usize) -> Result<Literal> {
        self.resolved(value, line, 0)
    }

    fn resolved(&self, value: &Literal, line: usize, depth: usize) -> Result<Literal> {
        let each = |items: &[Literal]| items.iter().map(|v| self.resolved(v, line, depth)).collect::<Result<Vec<_>>>();
        Ok(match value {
            Literal::Macro(name) => {
                if depth >= CHAIN {
                    return Err(self.at(line, format!("macro `%{name}` stands for itself")));
                }
                // gin takes the last of several
                let Some((_, at, value)) = self.macros.iter().rev().find(|(n, _, _)| n == name) else {
                    let near = crate::nearest::nearest(name, self.macros.iter().map(|(n, _, _)| n.as_str()));
                    let hint = near.map_or_else(
                        || format!("add a line `{name} = …`, or give the operative configuration `config.gin`"),
                        |n| format!("did you mean `%{n}`?"),
                    );
                    return Err(self.at(line, format!("there is no macro `%{name}`")).hint(hint));
                };
                self.resolved(value, *at, depth + 1)?
            }
            Literal::Tuple(items) => Literal::Tuple(each(items)?),
            Literal::List(items) => Literal::List(each(items)?),
            other => other.clone(),
        })
    }
}
