//! A bar on the terminal: how far, how long still.

use crate::command::bar::Bar;

/// Progress through the inputs by bytes.
pub struct Progress(Bar);

impl Progress {
    /// A bar over inputs of `bytes` in all (if they are known), on a terminal, unless output goes there token by token.
    pub fn new(bytes: Option<u64>, wanted: bool) -> Self {
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3} %  {msg}  {elapsed} gone, {eta} to go",
            None => "{spinner} {msg}  {elapsed} gone",
        };
        Self(Bar::new(wanted, bytes, template))
    }

    /// Tokens of the batch at work.
    pub fn token(&self, documents: usize, tokens: usize) {
        self.0.say(format!("{documents} done, token {tokens}"));
    }

    /// A document is done; `read` bytes of the inputs lie behind.
    pub fn document(&self, documents: usize, read: u64) {
        self.0.say(format!("{documents} done"));
        self.0.reach(read);
    }

    /// Writes something without tearing the bar.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.aside(write)
    }
}

/// Bytes of all inputs, if they are files.
pub fn bytes(inputs: &[String]) -> Option<u64> {
    let size = |name: &String| std::fs::metadata(name).ok().filter(|m| m.is_file()).map(|m| m.len());
    (!inputs.is_empty()).then(|| inputs.iter().map(size).sum::<Option<u64>>())?
}
