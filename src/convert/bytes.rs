//! Bytes of a file that nobody vouches for: unpacked as they are read, never more than a limit, never allocated before they are there.

use crate::error::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// Bytes read from the disk at once.
const BUFFER: usize = 1 << 16;

/// What can be asked of a file's bytes, one after the other.
pub struct Bytes<'a> {
    name: String,
    from: Box<dyn BufRead + 'a>,
    /// Bytes that may still come.
    left: u64,
    limit: u64,
    /// Bytes read so far.
    at: u64,
}

impl<'a> Bytes<'a> {
    /// The bytes of a file, unpacked if it is a gzip file; at most `limit` of them.
    pub fn open(path: &Path, limit: u64) -> Result<Self> {
        let name = path.display().to_string();
        crate::files::regular(path)?;
        let file = File::open(path).map_err(|e| Error::new(format!("{name}: {}", crate::output::reason(&e))))?;
        let mut file = BufReader::with_capacity(BUFFER, file);
        let packed = file.fill_buf().map_err(|e| Error::new(format!("{name}: {}", crate::output::reason(&e))))?.starts_with(&[0x1F, 0x8B]);
        let from: Box<dyn BufRead> =
            if packed { Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Self { name, from, left: limit, limit, at: 0 })
    }

    /// Bytes that are there already.
    pub fn of(name: &str, bytes: &'a [u8], limit: u64) -> Self {
        let from: Box<dyn BufRead + 'a> = if bytes.starts_with(&[0x1F, 0x8B]) {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(bytes)))
        } else {
            Box::new(bytes)
        };
        Self { name: name.to_owned(), from, left: limit, limit, at: 0 }
    }

    /// An error at this place.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("{}: {what} (at byte {})", self.name, self.at))
    }

    /// The next `n` bytes. Memory grows with what is there, whatever `n` is.
    pub fn take(&mut self, n: u64) -> Result<Vec<u8>> {
        if n > self.left {
            return Err(self.too_much());
        }
        let mut out = Vec::new();
        let got = self.from.by_ref().take(n).read_to_end(&mut out);
        self.count(out.len() as u64);
        match got {
            Ok(_) if out.len() as u64 == n => Ok(out),
            Ok(_) => Err(self.truncated()),
            Err(e) => Err(self.failed(&e)),
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        if N as u64 > self.left {
            return Err(self.too_much());
        }
        let mut out = [0; N];
        self.from.read_exact(&mut out).map_err(|e| self.failed(&e))?;
        self.count(N as u64);
        Ok(out)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// What comes before the next line feed.
    pub fn line(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let got = self.from.by_ref().take(self.left).read_until(b'\n', &mut out);
        self.count(out.len() as u64);
        got.map_err(|e| self.failed(&e))?;
        match out.pop() {
            Some(b'\n') => Ok(out),
            _ if self.left == 0 => Err(self.too_much()),
            _ => Err(self.truncated()),
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Whether all is read.
    pub fn finished(&mut self) -> Result<bool> {
        match self.from.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn count(&mut self, n: u64) {
        self.at += n;
        self.left = self.left.saturating_sub(n);
    }

    fn too_much(&self) -> Error {
        self.error(format!(
            "it holds, or says that it holds, more than {}, which no checkpoint of this model does",
            crate::report::bytes(self.limit as usize)
        ))
        .hint("the file is damaged, or the configuration belongs to another model")
    }

    fn truncated(&self) -> Error {
        self.error("the file ends in the middle").hint("fetch it again and compare its size")
    }

    fn failed(&self, e: &std::io::Error) -> Error {
        match e.kind() {
            ErrorKind::UnexpectedEof => self.truncated(),
            _ => self.error(format!("cannot be read: {}", crate::output::reason(e))).hint("the file is damaged; fetch it again"),
        }
    }
}
