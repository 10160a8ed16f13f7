//! One safetensors file, before it is part of a store.

use super::bytes::Bytes;
use super::{Entry, header, matrix};
use crate::error::{Error, Result};
use crate::files;
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A file and what its header says.
pub struct File {
    /// Its path, or what a file in the program is called.
    pub name: String,
    /// Its tensors.
    pub entries: BTreeMap<String, Entry>,
    pub(super) bytes: Arc<Bytes>,
}

impl File {
    /// Maps a file. Fails if it is none of safetensors.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        files::regular(path)?;
        let file = std::fs::File::open(path).map_err(|e| Error::new(format!("{name}: {e}")))?;
        // SAFETY: the file is read-only for us; whoever changes it while we run changes our weights, as with any mapped file
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::new(format!("{name}: cannot be mapped: {e}")))?;
        Self::of(name, Bytes::Mapped(map))
    }

    /// Of bytes that are there.
    pub(super) fn of(name: String, bytes: Bytes) -> Result<Self> {
        let entries = header::parse(bytes.get()).map_err(|e| {
            e.at(&name).hint("the file is damaged or not a safetensors file; fetch it again and compare its size and checksum")
        })?;
        Ok(Self { name, entries: entries.into_iter().collect(), bytes: Arc::new(bytes) })
    }

    /// All of its bytes.
    pub fn stored(&self) -> &[u8] {
        self.bytes.get()
    }

    /// The numbers of a tensor as f32, row-major. Fails if it holds another kind of numbers, or one that is not finite.
    pub fn numbers(&self, tensor: &str) -> Result<Vec<f32>> {
        let entry = self.entries.get(tensor).ok_or_else(|| Error::new(format!("{}: tensor `{tensor}` is missing", self.name)))?;
        matrix::numbers(&self.name, tensor, &self.bytes, entry)
    }
}

/// Fails if a file is not a safetensors file as long as its header says.
pub fn check(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
    // SAFETY: the file is read-only for us; whoever changes it meanwhile changes what is checked, as with any mapped file
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::new(format!("{}: cannot be mapped: {e}", path.display())))?;
    header::parse(&map).map(drop)
}
