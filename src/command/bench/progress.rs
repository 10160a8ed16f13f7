//! What the user sees on a terminal while cases run.

use crate::command::bar::Bar;

/// A line that says what runs.
pub struct Progress(Bar);

impl Progress {
    /// On a terminal, if wanted.
    pub fn new(wanted: bool) -> Self {
        Self(Bar::new(wanted, None, "{msg}  {elapsed} gone"))
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
        self.0.say(message);
    }

    /// Clears the line.
    pub fn end(&self) {
        self.0.end();
    }

    /// Writes something without tearing the line.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.aside(write)
    }
}
