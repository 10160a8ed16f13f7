//! A bar on the terminal: how far, how long still.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// Progress through the inputs by bytes, or nothing where nobody watches.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar over inputs of `bytes` in all (if they are known), on a terminal, unless output goes there token by token.
    pub fn new(bytes: Option<u64>, wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (bar, template) = match bytes {
            Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {percent:>3} %  {msg}  {elapsed} gone, {eta} to go"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed} gone"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Tokens of the batch at work.
    pub fn token(&self, documents: usize, tokens: usize) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("{documents} done, token {tokens}"));
            bar.tick();
        }
    }

    /// A document is done; `read` bytes of the inputs lie behind.
    pub fn document(&self, documents: usize, read: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("{documents} done"));
            bar.set_position(read);
        }
    }

    /// Writes something without tearing the bar.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Bytes of all inputs, if they are files.
pub fn bytes(inputs: &[String]) -> Option<u64> {
    let size = |name: &String| std::fs::metadata(name).ok().filter(|m| m.is_file()).map(|m| m.len());
    (!inputs.is_empty()).then(|| inputs.iter().map(size).sum::<Option<u64>>())?
}
