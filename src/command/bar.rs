//! A line on the terminal that says how far things are, or nothing where nobody watches.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// The line; it goes when this does.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// On a terminal, if wanted: through `length` of something, or only going on.
    pub fn new(wanted: bool, length: Option<u64>, template: &str) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Says something new.
    pub fn say(&self, message: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(message);
            bar.tick();
        }
    }

    /// So far it is.
    pub fn reach(&self, position: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(position);
        }
    }

    /// Writes something without tearing the line.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Clears the line.
    pub fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}
