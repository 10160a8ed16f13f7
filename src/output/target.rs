//! Where lines go: the standard output or a file on its way.

use super::Partial;
use super::partial::failed;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Takes each document's lines and hands them on at once.
pub enum Target<'a> {
    /// Standard output.
    Out(&'a mut dyn Write),
    /// A device or pipe, which cannot be renamed onto.
    Device(File),
    /// A file that is renamed at the end.
    File(Partial),
}

/// Writes all of a text on standard output, or to a file that is complete or absent. Nobody there to read it is no error.
pub fn whole(path: Option<&Path>, text: &str, out: &mut dyn Write) -> Result<()> {
    let mut target = match path {
        None => Target::Out(out),
        Some(path) if Target::is_device(path) => Target::device(path)?,
        Some(path) => Target::File(Partial::create(path, None)?),
    };
    if target.write(text)? { target.finish() } else { Ok(()) }
}

impl<'a> Target<'a> {
    /// Whether `path` is a device, a pipe or one of the process's own files, to be written to as it is.
    pub fn is_device(path: &Path) -> bool {
        let system = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"].iter().any(|p| path.starts_with(p));
        std::fs::metadata(path).is_ok_and(|m| !m.is_dir() && (system || !m.is_file()))
    }

    /// A device or pipe.
    pub fn device(path: &Path) -> Result<Self> {
        OpenOptions::new().append(true).open(path).map(Target::Device).map_err(|e| failed(path, &e))
    }

    /// Writes and flushes; false when nobody reads any more.
    pub fn write(&mut self, text: &str) -> Result<bool> {
        let outcome = match self {
            Target::Out(out) => out.write_all(text.as_bytes()).and_then(|()| out.flush()),
            Target::Device(file) => file.write_all(text.as_bytes()),
            Target::File(partial) => partial.write(text),
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(Error::new(format!("cannot write the output: {}", super::reason(&e))).hint("check the free space")),
        }
    }

    /// All is written.
    pub fn finish(self) -> Result<()> {
        match self {
            Target::File(partial) => partial.finish(),
            _ => Ok(()),
        }
    }

    /// The run ends early; says which file holds what was finished, if one does.
    pub fn abandon(self) -> Option<PathBuf> {
        match self {
            Target::File(partial) => partial.abandon(),
            _ => None,
        }
    }
}
