//! From characters to values: Python's literals with gin's `@` and `%`. numpy's headers are such literals too.

use super::literal::{Literal, Reference};
use crate::error::{Error, Result};

/// Brackets in brackets at most.
const DEEPEST: usize = 50;

/// A place in a text.
pub struct Scanner<'t> {
    name: &'t str,
    text: &'t str,
    at: usize,
    line: usize,
    /// Open brackets: inside them a line's end means nothing.
    depth: usize,
}

impl<'t> Scanner<'t> {
    /// The begin of a text; `name` is for errors.
    pub fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, text: text.strip_prefix('\u{feff}').unwrap_or(text), at: 0, line: 1, depth: 0 }
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// An error in this line.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("{}:{}: {what}", self.name, self.line))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.bump();
        }
        there
    }

    /// Skips blanks, comments and continued lines; line ends too, where they mean nothing.
    fn blanks(&mut self, lines_too: bool) {
        loop {
            let rest = self.rest();
            if rest.starts_with("\\\n") || rest.starts_with("\\\r\n") {
                self.bump();
                while self.bump().is_some_and(|c| c != '\n') {}
                continue;
            }
            match self.peek() {
                Some('\n') if lines_too => self.bump(),
                Some(' ' | '\t' | '\r' | '\u{c}') => self.bump(),
                Some('#') => {
                    self.skip_line();
                    None
                }
                _ => return,
            };
        }
    }

    fn inside(&mut self) {
        self.blanks(self.depth > 0);
    }

    /// Goes to the next statement; whether there is one.
    pub fn next_statement(&mut self) -> bool {
        self.blanks(true);
        self.peek().is_some()
    }

    /// Skips what is left of a line.
    pub fn skip_line(&mut self) {
        let n = self.rest().find('\n').unwrap_or(self.rest().len());
        self.at += n;
    }

    /// A name with scopes and modules.
    pub fn selector(&mut self) -> Result<String> {
        let rest = self.rest();
        let n = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/'))).unwrap_or(rest.len());
        if n == 0 || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '/') {
            let found = self.peek().map_or("the end".to_owned(), |c| format!("`{}`", c.escape_debug()));
            return Err(self.error(format!("a name is expected and {found} is there")));
        }
        self.at += n;
        Ok(rest[..n].to_owned())
    }

    /// `=`.
    pub fn equals(&mut self) -> Result<()> {
        self.blanks(false);
        if self.eat('=') {
            return Ok(());
        }
        Err(self.error("`=` is missing after the name").hint("a line is `Function.parameter = value`, `macro = value` or `import module`"))
    }

    /// Nothing more in this line but a comment.
    pub fn end_of_statement(&mut self) -> Result<()> {
        self.blanks(false);
        match self.peek() {
            None | Some('\n') => Ok(()),
            Some(c) => Err(self.error(format!("`{}` after the value", c.escape_debug()))),
        }
    }

    /// A value.
    pub fn value(&mut self) -> Result<Literal> {
        self.inside();
        match self.peek() {
            Some('(') => self.tuple(),
            Some('[') => self.bracket(']').map(|(items, _)| Literal::List(items)),
            Some('{') => self.dict(),
            Some('@') => self.reference(),
            Some('%') => {
                self.bump();
                self.selector().map(Literal::Macro)
            }
            Some('\'' | '"') => self.texts(),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.word(),
            Some(c) => Err(self.error(format!("a value is expected and `{}` is there", c.escape_debug()))),
            None => Err(self.error("a value is expected and the file ends")),
        }
    }

    fn open(&mut self) -> Result<()> {
        self.bump();
        self.depth += 1;
        if self.depth > DEEPEST { Err(self.error(format!("more than {DEEPEST} brackets in brackets"))) } else { Ok(()) }
    }

    /// Values up to a closing bracket, and whether a comma came last.
    fn bracket(&mut self, close: char) -> Result<(Vec<Literal>, bool)> {
        self.open()?;
        let (mut items, mut comma) = (Vec::new(), true);
        loop {
            self.inside();
            if self.eat(close) {
                self.depth -= 1;
                return Ok((items, comma));
            }
            if !comma {
                return Err(self.error(format!("`,` or `{close}` is missing")));
            }
            items.push(self.value()?);
            self.inside();
            comma = self.eat(',');
        }
    }

    /// `(a)` is a, `(a,)` a tuple.
    fn tuple(&mut self) -> Result<Literal> {
        let (mut items, comma) = self.bracket(')')?;
        match items.len() {
            1 if !comma => Ok(items.remove(0)),
            _ => Ok(Literal::Tuple(items)),
        }
    }

    fn dict(&mut self) -> Result<Literal> {
        self.open()?;
        let mut pairs = Vec::new();
        loop {
            self.inside();
            if self.eat('}') {
                self.depth -= 1;
                return Ok(Literal::Dict(pairs));
            }
            let key = self.value()?;
            self.inside();
            if !self.eat(':') {
                return Err(self.error("`:` is missing after a key"));
            }
            pairs.push((key, self.value()?));
            self.inside();
            if !self.eat(',') && self.peek() != Some('}') {
                return Err(self.error("`,` or `}` is missing"));
            }
        }
    }

    fn reference(&mut self) -> Result<Literal> {
        self.bump();
        let selector = self.selector()?;
        let mut scopes: Vec<String> = selector.split('/').map(str::to_owned).collect();
        let name = scopes.pop().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default().to_owned();
        if self.eat('(') && !self.eat(')') {
            return Err(self.error(format!("`@{selector}(` takes no arguments here")));
        }
        Ok(Literal::Reference(Reference { scopes, name }))
    }

    /// Texts beside each other are one, inside brackets.
    fn texts(&mut self) -> Result<Literal> {
        let mut whole = self.quoted()?;
        loop {
            self.inside();
            match self.peek() {
                Some('\'' | '"') => whole += &self.quoted()?,
                _ => return Ok(Literal::Text(whole)),
            }
        }
    }

    fn quoted(&mut self) -> Result<String> {
        let quote = self.bump().unwrap_or('"');
        let mut out = String::new();
        loop {
            if matches!(self.peek(), None | Some('\n')) {
                return Err(self.error("a text without its closing quote"));
            }
            match self.bump() {
                Some(c) if c == quote => return Ok(out),
                Some('\\') => match self.bump() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('\n') => (),
                    Some(c @ ('\\' | '\'' | '"')) => out.push(c),
                    // an escape that Python does not know stays as it is
                    Some(c) if !matches!(c, 'x' | 'u' | 'U' | 'N' | '0'..='7' | 'r' | 'a' | 'b' | 'f' | 'v') => out.extend(['\\', c]),
                    _ => return Err(self.error("an escape in a text that is not read here")),
                },
                Some(c) => out.push(c),
                None => (),
            }
        }
    }

    fn number(&mut self) -> Result<Literal> {
        let rest = self.rest();
        let mut before = ' ';
        let end = |c: char| {
            let sign = matches!(c, '-' | '+') && matches!(before, ' ' | 'e' | 'E');
            before = c;
            !(sign || c.is_ascii_alphanumeric() || c == '_' || c == '.')
        };
        let n = rest.find(end).unwrap_or(rest.len());
        self.at += n;
        let digits = rest[..n].replace('_', "");
        let bad = || self.error(format!("`{:.40}` is no number", &rest[..n]));
        match digits.parse::<i64>() {
            Ok(whole) => Ok(Literal::Int(whole)),
            // Rust's own reading takes `inf`, `nan` and the like, which no digits begin
            Err(_) if digits.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => Err(bad()),
            Err(_) => digits.parse().ok().filter(|x: &f64| x.is_finite()).map(Literal::Float).ok_or_else(bad),
        }
    }

    fn word(&mut self) -> Result<Literal> {
        let word = self.selector()?;
        match word.as_str() {
            "None" => Ok(Literal::None),
            "True" => Ok(Literal::Bool(true)),
            "False" => Ok(Literal::Bool(false)),
            _ => Err(self.error(format!("`{word}` is no value")).hint("text stands in quotes, a function behind `@`, a macro behind `%`")),
        }
    }
}
