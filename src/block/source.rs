//! What models do with a source before their first layer: documents are laid in a row for an encoder, prompts are read one by one.

use super::check_ids;
use crate::error::{Error, Result};
use crate::memory::State;
use crate::mixer::Documents;
use crate::model::{Info, Source};

/// The tokens of all documents, one after the other, and where each document lies among them.
///
/// Fails if a document is empty, holds a token that is not in the vocabulary, or asks for global attention where there is none.
pub(crate) fn in_a_row(info: &Info, source: &Source) -> Result<(Vec<u32>, Documents)> {
    let lengths: Vec<usize> = source.rows.iter().map(Vec::len).collect();
    if lengths.contains(&0) {
        return Err(Error::new("a document has no tokens"));
    }
    let ids = source.rows.concat();
    check_ids(&ids, info.vocab_size)?;
    Ok((ids, Documents::new(lengths, info.global(source)?)?))
}

/// [`Model::encode`](crate::model::Model::encode) without an encoder: each prompt is read alone, all but its last token, and the states are joined.
///
/// `fresh` makes the state of so many rows that have read nothing; `read` reads tokens into that of a single row. Fails if a prompt is empty, ends with a
/// token that is not in the vocabulary, or asks for global attention.
pub(crate) fn prompts<T>(
    info: &Info,
    source: &Source,
    fresh: impl Fn(usize) -> Result<State>,
    read: impl Fn(&[Vec<u32>], &mut State) -> Result<T>,
) -> Result<(State, Vec<u32>)> {
    info.global(source)?; // there is none
    let (mut states, mut last) = (Vec::new(), Vec::new());
    for row in &source.rows {
        let (token, before) = row.split_last().ok_or_else(|| Error::new("a prompt has no tokens"))?;
        check_ids([token], info.vocab_size)?;
        let mut state = fresh(1)?;
        if !before.is_empty() {
            read(&[before.to_vec()], &mut state)?;
        }
        states.push(state);
        last.push(*token);
    }
    let mut all = fresh(0)?;
    all.join(states)?;
    Ok((all, last))
}
