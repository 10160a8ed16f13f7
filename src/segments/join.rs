//! Which segments of several files belong together: those with the same id, or those at the same place.

use super::file::{File, Kind};
use crate::document::{id_text, place};
use crate::error::{Error, Result};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// Brings all files into the order of the first: by id when they all hold records with ids, else as they stand.
pub(super) fn join(files: &mut [File]) -> Result<()> {
    if files.len() < 2 || !files.iter().all(File::identified) {
        return same_places(files);
    }
    let Some((first, others)) = files.split_first_mut() else { return Ok(()) };
    let places = places(first)?;
    for other in others {
        // from here on the ids are those of `first`
        let order = order(first, &places, other)?;
        if order.iter().enumerate().any(|(to, &from)| to != from) {
            other.columns.iter_mut().for_each(|c| c.reorder(&order));
        }
    }
    Ok(())
}

/// Where the segment of each id is.
type Places<'a> = HashMap<Cow<'a, str>, usize>;

fn places(file: &File) -> Result<Places<'_>> {
    let mut places = Places::with_capacity(file.len());
    for (segment, id) in ids(file) {
        if let Some(earlier) = places.insert(text(id), segment) {
            return Err(twice(file, earlier, segment, id));
        }
    }
    Ok(places)
}

/// The segments of `other` in the order of `first`, whose ids are in `places`.
fn order(first: &File, places: &Places, other: &File) -> Result<Vec<usize>> {
    let (mut order, mut strangers) = (vec![None; first.len()], Vec::new());
    for (segment, id) in ids(other) {
        // most files have one order already, and then nothing has to be looked up
        let same = first.id(segment) == Some(id);
        let place = if same { Some(segment) } else { places.get(&text(id)).copied() };
        match place.and_then(|p| order.get_mut(p)) {
            None => strangers.push(segment),
            Some(Some(earlier)) => return Err(twice(other, *earlier, segment, id)),
            Some(free) => *free = Some(segment),
        }
    }
    let absent: Vec<usize> = (0..first.len()).filter(|&i| order[i].is_none()).collect();
    missing(first, &absent, other)?;
    missing(other, &strangers, first)?;
    Ok(order.into_iter().flatten().collect())
}

/// Fails when there are `segments` of `file` whose ids `other` does not have.
fn missing(file: &File, segments: &[usize], other: &File) -> Result<()> {
    let Some(&segment) = segments.first() else { return Ok(()) };
    let more = match segments.len() - 1 {
        0 => String::new(),
        1 => ", 1 more id is not either".to_owned(),
        n => format!(", {n} more ids are not either"),
    };
    let id = file.id(segment).map(id_text).unwrap_or_default();
    Err(Error::new(format!("id `{id}` is not in {}{more}", place(&other.name, None)))
        .at(file.place(segment))
        .hint("records are joined by their ids: decode what is missing, or drop the ids of one file to join line by line"))
}

fn twice(file: &File, earlier: usize, segment: usize, id: &Value) -> Error {
    Error::new(format!("id `{}` is that of {} too", id_text(id), file.place(earlier)))
        .at(file.place(segment))
        .hint("records are joined by their ids: give each its own, or drop the ids of one file to join line by line")
}

fn ids(file: &File) -> impl Iterator<Item = (usize, &Value)> {
    (0..file.len()).filter_map(|segment| Some((segment, file.id(segment)?)))
}

/// The id as text, so that 7 is "7".
fn text(id: &Value) -> Cow<'_, str> {
    match id {
        Value::String(s) => Cow::Borrowed(s),
        other => Cow::Owned(id_text(other)),
    }
}

/// Fails unless all files have equally many segments, and no two of them different ids at one place.
fn same_places(files: &[File]) -> Result<()> {
    for (n, file) in files.iter().enumerate() {
        files.iter().take(1).try_for_each(|first| same_count(first, file))?;
        files.iter().take(n).try_for_each(|earlier| same_ids(earlier, file))?;
    }
    Ok(())
}

fn same_count(a: &File, b: &File) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    let counts = format!("{} has {}, {} {}", place(&a.name, None), segments(a.len()), place(&b.name, None), b.len());
    Err(Error::new(counts).hint(if a.len() > b.len() { remedy(a, b) } else { remedy(b, a) }))
}

fn same_ids(a: &File, b: &File) -> Result<()> {
    let differ = |&i: &usize| a.id(i).zip(b.id(i)).is_some_and(|(a, b)| text(a) != text(b));
    let Some(segment) = (0..a.len()).find(differ) else { return Ok(()) };
    let id = |file: &File| file.id(segment).map(id_text).unwrap_or_default();
    Err(Error::new(format!("id `{}` meets id `{}` of {}", id(a), id(b), b.place(segment)))
        .at(a.place(segment))
        .hint("some segments have no id, so all are joined line by line: bring the files into one order, or give every record its id"))
}

fn segments(n: usize) -> String {
    if n == 1 { "1 segment".to_owned() } else { format!("{n} segments") }
}

/// What may be done about a file with more segments than another.
fn remedy(long: &File, short: &File) -> String {
    let more = long.len() - short.len();
    let blank = long.columns.first().is_some_and(|c| c.ends_with_empty(more));
    let (longer, shorter) = (place(&long.name, None), place(&short.name, None));
    match (&long.kind, &short.kind) {
        (_, Kind::Whole) | (Kind::Whole, _) => "plain text is one segment a file for this model: put several into JSONL".to_owned(),
        (Kind::Lines { .. }, _) if blank && more == 1 => format!("{longer} ends with a blank line, which is a segment too: remove it"),
        (Kind::Lines { .. }, _) if blank => format!("{longer} ends with {more} blank lines, which are segments too: remove them"),
        (_, Kind::Lines { closed: false }) => format!("the last line of {shorter} has no line end: it may have been cut off"),
        (_, Kind::Lines { .. }) if more == 1 => {
            format!("segments are joined line by line; if the last of {shorter} is empty, it needs its line end too")
        }
        (Kind::Records(_), Kind::Records(_)) => {
            "records are joined by their ids only if all of them have one, else line by line".to_owned()
        }
        _ => "segments are joined line by line".to_owned(),
    }
}
