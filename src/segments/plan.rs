//! Which file is read for which texts.

use super::columns::{Role, Want};
use super::{Options, Request};
use crate::document::{Format, place};
use crate::error::{Error, Result};
use std::collections::HashSet;

/// A file, and the texts that are wanted of it.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub name: &'a str,
    pub wants: Vec<Want<'a>>,
}

/// The files of a request: systems, references, sources. Fails when names and columns do not go together.
pub(super) fn inputs<'a>(request: &'a Request, options: &'a Options) -> Result<Vec<Input<'a>>> {
    check_names(request)?;
    let want = |role| Want { role, column: column(options, role) };
    let records = |input: &&mut Input| options.format.of(input.name) != Format::Text;
    let input = |name: &'a String, role| Input { name, wants: vec![want(role)] };
    let role = if request.texts_only { Role::Text } else { Role::Hypothesis };
    let mut inputs: Vec<Input> = request.systems.iter().map(|name| input(name, role)).collect();
    let named = options.ref_column.is_some() && !request.texts_only;
    if request.references.is_empty() && (!request.references_optional || named) {
        inputs.first_mut().filter(records).ok_or_else(no_references)?.wants.push(want(Role::Reference));
    }
    inputs.extend(request.references.iter().map(|name| input(name, Role::Reference)));
    if let Some(name) = &request.source {
        inputs.push(input(name, Role::Source));
    } else if options.source_column.is_some() {
        inputs.iter_mut().find(records).into_iter().for_each(|i| i.wants.push(want(Role::Source)));
    }
    if inputs.is_empty() {
        return Err(Error::usage("there is nothing to score").hint("name a file of texts"));
    }
    check_columns(&inputs, options)?;
    Ok(inputs)
}

fn column(options: &Options, role: Role) -> Option<&str> {
    match role {
        Role::Reference | Role::Text => options.ref_column.as_deref(),
        Role::Hypothesis => options.hyp_column.as_deref(),
        Role::Source => options.source_column.as_deref(),
    }
}

fn check_names(request: &Request) -> Result<()> {
    let names = request.references.iter().chain(&request.systems).chain(&request.source);
    if names.filter(|n| *n == "-").count() > 1 {
        return Err(Error::usage("standard input can be read only once").hint("give `-` once"));
    }
    let mut seen = HashSet::new();
    match request.systems.iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::usage(format!("`{name}` is already used to name a system")).hint("give each system once")),
    }
}

fn no_references() -> Error {
    Error::usage("there are no references")
        .hint("name their file first, `effattn score REFERENCE -i HYPOTHESIS`; the first hypothesis file can hold them only as a column of its records")
}

/// A column that is named has to be one of some file of records.
fn check_columns(inputs: &[Input], options: &Options) -> Result<()> {
    let texts_only = inputs.iter().any(|i| i.wants.iter().any(|w| w.role == Role::Text));
    let reference = if texts_only { Role::Text } else { Role::Reference };
    for role in [reference, Role::Hypothesis, Role::Source].into_iter().filter(|&r| column(options, r).is_some()) {
        let mut of_role = inputs.iter().filter(|i| i.wants.iter().any(|w| w.role == role)).peekable();
        let columns = role.columns();
        let why = match of_role.peek() {
            Some(input) => format!("{} is plain text", place(input.name, None)),
            None => format!("no file of records can hold a {}", columns.noun),
        };
        if of_role.all(|i| options.format.of(i.name) == Format::Text) {
            return Err(Error::usage(format!("`{}` names a column, but {why}", columns.option))
                .hint(format!("drop `{}`, or say what the files hold with `--input-format jsonl|csv|tsv`", columns.option)));
        }
    }
    Ok(())
}
