//! What the program writes: [`Record`]s as text or JSON lines, on standard output or in a file that is complete or absent.

mod partial;
mod record;
mod target;

pub use partial::{Kept, Partial, Settings, check};
pub use record::{Extras, Outcome, Record, flat};
pub use target::{Target, whole};

use std::io::Write;

/// What the system says of an I/O error, in the program's own style.
pub fn reason(e: &std::io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|c| c.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether a path is another name for standard output: written to through another handle, lines of two writers overwrite each other.
pub fn is_stdout(path: &std::path::Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == std::path::Path::new(name))
}

/// Says something on standard error, in one piece. Nobody there to hear it is no reason to stop.
pub fn say(line: impl std::fmt::Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says what went wrong, and what to do about it.
pub fn complain(error: &crate::error::Error) {
    say(format_args!("error: {error}"));
    if let Some(hint) = error.remedy() {
        say(format_args!("hint: {hint}"));
    }
}
