//! What ends a row: an end token, or its greatest length (transformers: `EosTokenCriteria`, `MaxLengthCriteria`).

/// Why a hypothesis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// An end token was chosen.
    Stop,
    /// The greatest length was reached, or the search was left.
    Length,
}

/// Lengths of one row in tokens, prompt included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens before the first new one.
    pub prompt: usize,
    /// No end token before this length.
    pub min: usize,
    /// The row ends at this length.
    pub max: usize,
}

/// Whether a row that has just become `length` tokens long with `token` has ended, and why.
pub fn ended(token: u32, length: usize, lengths: &Lengths, eos: &[u32]) -> Option<Finish> {
    if eos.contains(&token) { Some(Finish::Stop) } else { (length >= lengths.max).then_some(Finish::Length) }
}
