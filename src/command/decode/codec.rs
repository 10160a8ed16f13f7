//! Between text and token ids: what surrounds the document, what is the document, and back.

use crate::error::{Error, Result};
use tokenizers::{Encoding, Tokenizer};

/// How documents become tokens and tokens summaries.
pub enum Codec {
    /// With the checkpoint's tokenizer.
    Text {
        /// The tokenizer, without truncation and padding of its own.
        tokenizer: Box<Tokenizer>,
        /// Text before every document.
        before: String,
        /// Text behind every document.
        after: String,
    },
    /// Documents and summaries are ids separated by white space.
    Ids {
        /// V: ids are smaller.
        vocab_size: usize,
    },
}

/// A document's tokens: `body` may be cut, `head` and `tail` (special tokens, prefix, template) stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Before the document.
    pub head: Vec<u32>,
    /// The document.
    pub body: Vec<u32>,
    /// Behind the document.
    pub tail: Vec<u32>,
    /// What was encoded.
    pub text: String,
    /// Where each token of `body` stands in `text`, in bytes; empty where nobody knows.
    pub spans: Vec<(usize, usize)>,
}

impl Encoded {
    /// Tokens of it all.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    /// The tokens with only part of the document.
    pub fn with(&self, part: std::ops::Range<usize>) -> Vec<u32> {
        [&self.head[..], &self.body[part], &self.tail[..]].concat()
    }
}

impl Encoded {
    /// With the token that the model reads before any prompt ([`crate::model::Info::prompt_start`]) in front, unless it stands there already.
    pub fn begin_with(mut self, start: Option<u32>) -> Self {
        let Some(start) = start.filter(|start| self.head.first() != Some(start)) else { return self };
        // one that was given with the document belongs in front of each of its pieces
        if self.head.is_empty() && self.body.first() == Some(&start) {
            self.body.remove(0);
            self.spans.drain(..self.spans.len().min(1));
        }
        self.head.insert(0, start);
        self
    }
}

impl Codec {
    /// A codec of text. The tokenizer's own truncation would be a silent cut, its padding invisible garbage: both go.
    pub fn text(mut tokenizer: Tokenizer, before: &str, after: &str) -> Result<Self> {
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| Error::new(format!("tokenizer: {e}")))?;
        Ok(Self::Text { tokenizer: Box::new(tokenizer), before: before.to_owned(), after: after.to_owned() })
    }

    /// A document's tokens.
    pub fn encode(&self, document: &str) -> Result<Encoded> {
        match self {
            Codec::Text { tokenizer, before, after } => {
                let text = format!("{before}{document}{after}");
                let encoding =
                    tokenizer.encode(text.as_str(), true).map_err(|e| Error::new(format!("cannot tokenise the document: {e}")))?;
                split(&encoding, text, before.len()..before.len() + document.len())
            }
            Codec::Ids { vocab_size } => {
                let body = document.split_whitespace().map(|w| id(w, *vocab_size)).collect::<Result<_>>()?;
                Ok(Encoded { body, ..Encoded::default() })
            }
        }
    }

    /// The summary of what was generated; special tokens show only as ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        match self {
            Codec::Text { tokenizer, .. } => {
                tokenizer.decode(ids, true).map_err(|e| Error::new(format!("cannot turn the tokens into text: {e}")))
            }
            Codec::Ids { .. } => Ok(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")),
        }
    }
}

/// Tokens that lie within `document` are the body, and a first one that takes a blank of what stands before along, as those of
/// SentencePiece do; what the post-processor added never is.
fn split(encoding: &Encoding, text: String, document: std::ops::Range<usize>) -> Result<Encoded> {
    let (ids, spans) = (encoding.get_ids(), encoding.get_offsets());
    let inside = |&i: &usize| {
        let (from, to) = spans[i];
        let blank = || to > document.start && text.get(from..document.start).is_some_and(|t| t.trim().is_empty());
        encoding.get_special_tokens_mask()[i] == 0 && to <= document.end && (document.start <= from || blank())
    };
    let first = (0..ids.len()).find(inside);
    let last = (0..ids.len()).rev().find(inside);
    let (Some(first), Some(last)) = (first, last) else {
        return Err(Error::new("the tokenizer finds no tokens in the document").hint("check that it is in the model's language and script"));
    };
    Ok(Encoded {
        head: ids[..first].to_vec(),
        body: ids[first..=last].to_vec(),
        tail: ids[last + 1..].to_vec(),
        text,
        spans: spans[first..=last].to_vec(),
    })
}

fn id(word: &str, vocab_size: usize) -> Result<u32> {
    match word.parse::<u32>() {
        Ok(id) if (id as usize) < vocab_size => Ok(id),
        Ok(id) => Err(Error::new(format!("token id {id} is out of range, the model has {vocab_size} tokens"))
            .hint(format!("ids go from 0 to {}", vocab_size.saturating_sub(1)))),
        Err(_) => Err(Error::new(format!("`{}` is no token id", word.chars().take(40).collect::<String>()))
            .hint("with `--ids` a document is token ids separated by white space; leave `--ids` out for text")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::words;
    use super::*;

    #[test]
    fn head_body_and_tail() {
        let codec = Codec::text(words(), "sum : ", "").unwrap();
        let e = codec.encode("a b c").unwrap();
        assert_eq!((e.head.len(), e.body.len(), e.tail.len()), (3, 3, 1));
        assert_eq!((e.head[0], e.tail[0], e.len()), (0, 2, 7));
        assert_eq!(codec.decode(&e.with(0..2)).unwrap(), "sum : a b");
        let codec = Codec::text(words(), "", " so").unwrap();
        let e = codec.encode("a b").unwrap();
        assert_eq!(codec.decode(&e.tail).unwrap(), "so");
    }

    #[test]
    fn a_prompt_begins_with_what_its_model_reads_first() {
        let ids = |text: &str, start| Codec::Ids { vocab_size: 9 }.encode(text).unwrap().begin_with(start);
        let (head, body) = (|e: &Encoded| e.head.clone(), |e: &Encoded| e.body.clone());
        for (text, start, before, document) in [
            ("3 4", Some(7), vec![7], vec![3, 4]),
            ("7 4", Some(7), vec![7], vec![4]),
            ("7 7", Some(7), vec![7], vec![7]),
            ("4 7", Some(7), vec![7], vec![4, 7]),
            ("7 4", None, vec![], vec![7, 4]),
        ] {
            let e = ids(text, start);
            assert_eq!((head(&e), body(&e)), (before, document), "{text}");
        }
        // the tokenizer may put it there itself
        let codec = Codec::text(words(), "", "").unwrap();
        let plain = codec.encode("a b c").unwrap();
        assert_eq!(plain.clone().begin_with(Some(plain.head[0])), plain);
        let e = codec.encode("a b c").unwrap().begin_with(Some(2));
        assert_eq!((e.head.len(), e.body.len(), e.spans.len()), (plain.head.len() + 1, 3, 3));
        assert_eq!((e.head[0], e.with(1..3)[1]), (2, plain.head[0]));
    }

    #[test]
    fn the_tokenizers_own_truncation_is_off() {
        let mut tokenizer = words();
        let short = tokenizers::TruncationParams { max_length: 3, ..Default::default() };
        tokenizer.with_truncation(Some(short)).unwrap();
        assert_eq!(Codec::text(tokenizer, "", "").unwrap().encode("a b c a b c").unwrap().len(), 8);
    }

    /// What `fixtures/tokenizer/unigram.py` has of Hugging Face's Python package, and of sentencepiece itself.
    #[test]
    fn a_sentencepiece_model_reads_and_writes_as_in_python() {
        let fixture = |name: &str| std::fs::read(format!("{}/fixtures/tokenizer/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let codec = Codec::text(Tokenizer::from_bytes(fixture("unigram.json")).unwrap(), "", "").unwrap();
        let cases: serde_json::Value = serde_json::from_slice(&fixture("unigram_expected.json")).unwrap();
        let cases = cases.as_array().unwrap();
        assert!(cases.len() == 20 && cases.iter().filter(|c| c["native"] == true).count() == 17);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            let ids: Vec<u32> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            if ids == [1] {
                // nothing but the end: no document
                assert!(codec.encode(text).unwrap_err().message().starts_with("the tokenizer finds no tokens"), "{text:?}");
            } else {
                let e = codec.encode(text).unwrap();
                assert_eq!(e.with(0..e.body.len()), ids, "{text:?}");
                assert_eq!(e.spans.len(), e.body.len());
            }
            assert_eq!(codec.decode(&ids).unwrap(), case["decoded"].as_str().unwrap(), "{text:?}");
        }
        // a prefix is no part of what may be cut
        let with = |prefix: &str| Codec::text(Tokenizer::from_bytes(fixture("unigram.json")).unwrap(), prefix, "").unwrap();
        let plain = with("").encode("summarize: The keeper reads.").unwrap();
        let e = with("summarize: ").encode("The keeper reads.").unwrap();
        assert_eq!(e.with(0..e.body.len()), plain.with(0..plain.body.len()));
        assert_eq!((codec.decode(&e.body).unwrap().as_str(), e.tail.as_slice()), ("The keeper reads.", &[1][..]));
    }

    #[test]
    fn ids_in_and_out() {
        let codec = Codec::Ids { vocab_size: 10 };
        assert_eq!(codec.encode(" 3\n9 0").unwrap().with(0..3), [3, 9, 0]);
        assert_eq!(codec.decode(&[3, 9]).unwrap(), "3 9");
        assert_eq!(codec.encode("3 10").unwrap_err().message(), "token id 10 is out of range, the model has 10 tokens");
        assert_eq!(codec.encode("3 -1").unwrap_err().message(), "`-1` is no token id");
    }
}
