//! What the user sees on a terminal while cases run.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A line that says what runs, or nothing where nobody watches.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// On a terminal, if wanted.
    pub fn new(wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{msg}  {elapsed} gone") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// A run begins; round 0 is the warm-up. Nothing is drawn while it goes on: drawing takes time.
    pub fn run(&self, what: &str, round: usize, rounds: usize) {
        self.show(if round == 0 { format!("warm-up: {what}") } else { format!("run {round} of {rounds}: {what}") });
    }

    /// A model is being loaded.
    pub fn load(&self, name: &str) {
        self.show(format!("loading {name}"));
    }

    /// Anything else.
    pub fn show(&self, message: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(message);
            bar.tick();
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }

    /// Writes something without tearing the line.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
