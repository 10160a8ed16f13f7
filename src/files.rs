//! Files of a checkpoint: they are read whole, and are files.

use crate::error::{Error, Result};
use crate::output::reason;
use std::io::ErrorKind::NotFound;
use std::path::Path;

/// Fails if something else than a file has this name: a pipe would be waited for without end, a device read without. Nothing there is no failure.
pub fn regular(path: &Path) -> Result<()> {
    let what = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => "a directory, not a file",
        Ok(found) if !found.is_file() => "a pipe, a socket or a device, not a file",
        _ => return Ok(()),
    };
    Err(Error::new(format!("{}: {what}", path.display())).hint("put the file there, or a link to it"))
}

/// The bytes of a file, if there is one. Fails if it cannot be read, or is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    regular(path)?;
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == NotFound => Ok(None),
        Err(e) => Err(Error::new(format!("{}: {}", path.display(), reason(&e))).hint("check the file's permissions")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_neither_read_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        assert_eq!(read(&at("link")).unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!((read(&at("dangling")).unwrap(), read(&at("none")).unwrap()), (None, None));
        let said = |path: &Path| read(path).unwrap_err();
        assert!(said(&at("pipe")).message().ends_with("/pipe: a pipe, a socket or a device, not a file"));
        assert!(said(dir.path()).message().ends_with(": a directory, not a file"));
        assert!(said(dir.path()).remedy().is_some() && said(Path::new("/dev/zero")).message().starts_with("/dev/zero: a pipe"));
    }
}
