//! What happens to a document that is longer than the model reads: never a silent cut.

use super::codec::Encoded;
use crate::error::{Error, Result};
use std::ops::Range;

/// What to do with a document that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Overflow {
    /// The document fails
    #[default]
    Error,
    /// Only its beginning is read; the record says so
    Truncate,
    /// It is summarised in pieces, cut between paragraphs or sentences where possible; the summaries are joined by a space
    Chunk,
}

/// A document as the model will read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Token ids, one list a piece.
    pub pieces: Vec<Vec<u32>>,
    /// Tokens of the whole document, with what surrounds it.
    pub n_input: usize,
    /// Those that the model reads.
    pub n_used: usize,
}

/// Makes a document fit into `room` tokens, or says why it cannot.
pub fn fit(document: &Encoded, room: Option<Room>, overflow: Overflow) -> Result<Prepared> {
    let (n_input, body) = (document.len(), document.body.len());
    let whole =
        |n_used, pieces: Vec<Range<usize>>| Prepared { pieces: pieces.into_iter().map(|p| document.with(p)).collect(), n_input, n_used };
    let Some(room) = room.filter(|r| r.tokens < n_input) else {
        return Ok(whole(n_input, std::iter::once(0..body).collect()));
    };
    let around = n_input - body;
    let Some(free) = room.tokens.checked_sub(around).filter(|f| *f > 0) else {
        // an encoder's window has no room for new tokens in it, and no template before it
        let hint = match room.tokens == room.limit {
            true => "shorten `--source-prefix`; `--source-prefix ''` leaves config.json's out",
            false => "shorten `--template` or `--source-prefix`, or ask for fewer new tokens",
        };
        return Err(Error::new(format!("what surrounds the document takes {around} tokens, {}", room.told())).hint(hint));
    };
    match overflow {
        Overflow::Error => Err(room.exceeded(n_input)),
        Overflow::Chunk => Ok(whole(n_input, chunks(document, free))),
        Overflow::Truncate => Ok(whole(around + free, std::iter::once(0..free).collect())),
    }
}

/// How many tokens of a document fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Most tokens of document and surroundings.
    pub tokens: usize,
    /// The model's own limit.
    pub limit: usize,
}

impl Room {
    fn told(&self) -> String {
        if self.tokens == self.limit {
            format!("the model reads at most {}", self.limit)
        } else {
            format!("only {} are left of {} beside the new ones", self.tokens, self.limit)
        }
    }

    fn exceeded(&self, n: usize) -> Error {
        Error::new(format!("the document has {n} tokens, {}", self.told()))
            .hint("`--on-overflow truncate` reads only the beginning, `--on-overflow chunk` summarises it in pieces")
    }
}

/// Cuts the body into pieces of at most `free` tokens, each at the best place in the second half of what fits.
fn chunks(document: &Encoded, free: usize) -> Vec<Range<usize>> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    while document.body.len() - from > free {
        let latest = from + free;
        let earliest = from + free.div_ceil(2);
        let cut = (earliest..=latest).rev().max_by_key(|&at| (quality(document, at), at)).unwrap_or(latest);
        pieces.push(from..cut);
        from = cut;
    }
    pieces.push(from..document.body.len());
    pieces
}

/// How good a place it is to cut before token `at`: 3 between paragraphs, 2 between sentences or lines, 1 between words.
fn quality(document: &Encoded, at: usize) -> u8 {
    let Some(&(_, end)) = at.checked_sub(1).and_then(|i| document.spans.get(i)) else { return 0 };
    let (Some(left), Some(right)) = (document.text.get(..end), document.text.get(end..)) else { return 0 };
    let (word, rest) = (left.trim_end(), right.trim_start());
    let gap = document.text.get(word.len()..document.text.len() - rest.len()).unwrap_or("");
    let sentence = word.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']).ends_with(['.', '!', '?', '…', '。', '！', '？']);
    match gap.matches('\n').count() {
        2.. => 3,
        1 => 2,
        0 if gap.is_empty() => 0,
        0 => 1 + u8::from(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
    use super::super::testing::words;
    use super::*;

    fn room(tokens: usize) -> Option<Room> {
        Some(Room { tokens, limit: tokens })
    }

    fn texts(document: &str, tokens: usize, overflow: Overflow) -> Vec<String> {
        let codec = Codec::text(words(), "", "").unwrap();
        let fitted = fit(&codec.encode(document).unwrap(), room(tokens), overflow).unwrap();
        assert!(fitted.pieces.iter().all(|p| p.len() <= tokens && p.first() == Some(&0) && p.last() == Some(&2)));
        fitted.pieces.iter().map(|p| codec.decode(p).unwrap()).collect()
    }

    #[test]
    fn too_long_is_an_error_with_both_numbers() {
        let codec = Codec::text(words(), "", "").unwrap();
        let encoded = codec.encode("a b c a b c").unwrap();
        assert_eq!(fit(&encoded, room(8), Overflow::Error).unwrap().pieces, [encoded.with(0..6)]);
        let error = fit(&encoded, room(7), Overflow::Error).unwrap_err();
        assert_eq!(error.message(), "the document has 8 tokens, the model reads at most 7");
        assert!(error.remedy().unwrap().contains("--on-overflow"));
        let some = Some(Room { tokens: 5, limit: 9 });
        let error = fit(&encoded, some, Overflow::Error).unwrap_err();
        assert_eq!(error.message(), "the document has 8 tokens, only 5 are left of 9 beside the new ones");
        for overflow in [Overflow::Error, Overflow::Truncate, Overflow::Chunk] {
            let error = fit(&encoded, room(2), overflow).unwrap_err();
            assert_eq!(error.message(), "what surrounds the document takes 2 tokens, the model reads at most 2");
        }
        let codec = Codec::text(words(), "sum : ", "").unwrap();
        let error = fit(&codec.encode("a b c").unwrap(), room(4), Overflow::Error).unwrap_err();
        assert_eq!(error.message(), "what surrounds the document takes 4 tokens, the model reads at most 4");
        // an encoder's whole window is the document's: fewer new tokens are no remedy
        assert_eq!(error.remedy(), Some("shorten `--source-prefix`; `--source-prefix ''` leaves config.json's out"));
        let error = fit(&codec.encode("a b c").unwrap(), Some(Room { tokens: 4, limit: 9 }), Overflow::Error).unwrap_err();
        assert_eq!(error.remedy(), Some("shorten `--template` or `--source-prefix`, or ask for fewer new tokens"));
    }

    #[test]
    fn truncation_keeps_the_special_tokens() {
        assert_eq!(texts("a b c a b c", 5, Overflow::Truncate), ["a b c"]);
        let codec = Codec::text(words(), "", "").unwrap();
        let fitted = fit(&codec.encode("a b c a b c").unwrap(), room(5), Overflow::Truncate).unwrap();
        assert_eq!((fitted.n_input, fitted.n_used), (8, 5));
    }

    #[test]
    fn every_piece_has_the_prefix() {
        let codec = Codec::text(words(), "sum : ", "").unwrap();
        let fitted = fit(&codec.encode("a b c a b").unwrap(), room(6), Overflow::Chunk).unwrap();
        let texts: Vec<String> = fitted.pieces.iter().map(|p| codec.decode(p).unwrap()).collect();
        assert_eq!(texts, ["sum : a b", "sum : c a", "sum : b"]);
        assert_eq!((fitted.n_input, fitted.n_used), (9, 9));
    }

    #[test]
    fn pieces_end_at_paragraphs_sentences_or_where_they_must() {
        assert_eq!(texts("a b\n\nc a b. c a b", 8, Overflow::Chunk), ["a b c a b .", "c a b"]);
        assert_eq!(texts("a b c a\n\nb. c a b", 8, Overflow::Chunk), ["a b c a", "b . c a b"]);
        assert_eq!(texts("a b c a b c a", 5, Overflow::Chunk), ["a b c", "a b c", "a"]);
        let ids = Codec::Ids { vocab_size: 9 }.encode("1 2 3 4 5").unwrap();
        assert_eq!(fit(&ids, room(2), Overflow::Chunk).unwrap().pieces, [vec![1, 2], vec![3, 4], vec![5]]);
    }
}
