//! Text that grows token by token, never with half a character.

use crate::error::Result;

/// What was generated and how much of its text is out.
#[derive(Debug, Default)]
pub struct Stream {
    ids: Vec<u32>,
    out: String,
}

impl Stream {
    /// Takes a token and returns the text that is certain by now: nothing while a character is incomplete.
    pub fn push(&mut self, id: u32, decode: impl Fn(&[u32]) -> Result<String>) -> Result<String> {
        self.ids.push(id);
        let text = decode(&self.ids)?;
        if text.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        Ok(self.advance(&text))
    }

    /// The rest of the finished text.
    pub fn finish(&mut self, text: &str) -> String {
        self.advance(text)
    }

    /// What `text` adds. A tokenizer that takes back what it said leaves what is out as it is until the text goes on from there.
    fn advance(&mut self, text: &str) -> String {
        match text.strip_prefix(self.out.as_str()) {
            Some(new) => {
                let new = new.to_owned();
                self.out.push_str(&new);
                new
            }
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte a token.
    fn bytes(ids: &[u32]) -> Result<String> {
        Ok(String::from_utf8_lossy(&ids.iter().map(|&i| i as u8).collect::<Vec<_>>()).into_owned())
    }

    #[test]
    fn whole_characters_only() {
        let mut stream = Stream::default();
        let text = "né – 🦀!";
        let pieces: Vec<String> = text.bytes().map(|b| stream.push(b.into(), bytes).unwrap()).collect();
        assert_eq!(pieces.iter().filter(|p| !p.is_empty()).map(String::as_str).collect::<Vec<_>>(), ["n", "é", " ", "–", " ", "🦀", "!"]);
        assert_eq!(stream.finish(text), "");
    }

    #[test]
    fn an_incomplete_end_still_comes_out() {
        let mut stream = Stream::default();
        assert_eq!(stream.push(b'a'.into(), bytes).unwrap(), "a");
        assert_eq!(stream.push(0xf0, bytes).unwrap(), "");
        assert_eq!(stream.finish("a\u{fffd}"), "\u{fffd}");
    }
}
