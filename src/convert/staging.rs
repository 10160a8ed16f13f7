//! A directory that is complete or absent.

use crate::error::{Error, Result};
use crate::output::reason;
use crate::report;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory on its way: made beside the one that it will be, and renamed at the end.
pub struct Staging {
    made: TempDir,
    target: PathBuf,
}

impl Staging {
    /// Begins; `force` allows a directory that has something in it, whose files of the same names are then replaced. Fails if `bytes` are more
    /// than the disk has free.
    pub fn create(target: &Path, force: bool, bytes: u64) -> Result<Self> {
        let parent = match target.parent() {
            Some(p) if p.as_os_str().is_empty() => Path::new("."),
            Some(p) => p,
            None => {
                return Err(Error::usage(format!("`{}` cannot be replaced", target.display())).hint("name a directory that is to be made"));
            }
        };
        if !parent.is_dir() {
            return Err(Error::new(format!("there is no directory `{}`", parent.display())).hint("make it first, or write elsewhere"));
        }
        if target.exists() && !target.is_dir() {
            return Err(Error::new(format!("`{}` is a file", target.display())).hint("name a directory"));
        }
        if !force && filled(target)? {
            return Err(Error::new(format!("`{}` is not empty", target.display()))
                .hint("name another directory, or replace the files in it with `--force`"));
        }
        room(parent, bytes)?;
        let made = builder().tempdir_in(parent).map_err(|e| failed(target, &e))?;
        Ok(Self { made, target: target.to_owned() })
    }

    /// Where files go until the end.
    pub fn path(&self) -> &Path {
        self.made.path()
    }

    /// Writes a small file.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        std::fs::write(self.made.path().join(name), contents).map_err(|e| failed(&self.target, &e))
    }

    /// Makes it the directory.
    pub fn finish(self) -> Result<()> {
        let error = |e: std::io::Error| failed(&self.target, &e);
        if !filled(&self.target)? {
            if self.target.exists() {
                std::fs::remove_dir(&self.target).map_err(error)?;
            }
            std::fs::rename(self.made.path(), &self.target).map_err(error)?;
            // nothing is left to be removed
            let _ = self.made.keep();
            return Ok(());
        }
        // what else is in the directory, a tokenizer for instance, stays
        for entry in std::fs::read_dir(self.made.path()).map_err(error)? {
            let entry = entry.map_err(error)?;
            std::fs::rename(entry.path(), self.target.join(entry.file_name())).map_err(error)?;
        }
        Ok(())
    }
}

/// Permissions as for any other directory, not those of a private one.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".effattn-convert-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder
}

/// Whether a directory is there and has something in it.
fn filled(dir: &Path) -> Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(failed(dir, &e)),
    }
}

/// Fails if the disk has less than `bytes` free.
fn room(dir: &Path, bytes: u64) -> Result<()> {
    #[cfg(unix)]
    if let Ok(disk) = rustix::fs::statvfs(dir) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if bytes > free {
            return Err(Error::new(format!(
                "this takes {}, and the disk of `{}` has {} free",
                report::bytes(bytes as usize),
                dir.display(),
                report::bytes(free as usize)
            ))
            .hint("write to another disk, or halve it with `--dtype bf16`"));
        }
    }
    Ok(())
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::new(format!("`{}` cannot be written: {}", path.display(), reason(e)))
        .hint("check the free space and the directory's permissions")
}
