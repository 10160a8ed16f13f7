//! What an ETag says of the content that it names.
//!
//! The hub names a file of Git LFS by the SHA-256 of its content (64 hexadecimal digits), any other by git's hash of it (40): SHA-1 of
//! `blob SIZE\0` and the content. Other servers have other names: what has neither form is no checksum, 40 digits may also be the SHA-1 of the
//! content alone, and those of the commit say nothing of a file.

use ring::digest::{Algorithm, Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes that are looked at together.
const PIECE: usize = 1 << 16;

/// Content on its way, against the name that its server has for it.
pub struct Sum<'a> {
    etag: &'a str,
    kind: Kind,
    /// Of what came so far.
    sha256: Context,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sha256,
    Sha1,
    Nothing,
}

impl<'a> Sum<'a> {
    /// Of nothing yet, for a file of this commit.
    pub fn new(etag: &'a str, commit: &str) -> Self {
        let kind = match etag.len() {
            _ if !etag.bytes().all(|b| b.is_ascii_hexdigit()) => Kind::Nothing,
            64 => Kind::Sha256,
            40 if !etag.eq_ignore_ascii_case(commit) => Kind::Sha1,
            _ => Kind::Nothing,
        };
        Self { etag, kind, sha256: Context::new(&SHA256) }
    }

    /// Adds what came.
    pub fn add(&mut self, bytes: &[u8]) {
        if self.kind == Kind::Sha256 {
            self.sha256.update(bytes);
        }
    }

    /// Adds what an earlier run left.
    pub fn add_file(&mut self, path: &Path) -> std::io::Result<()> {
        if self.kind == Kind::Sha256 { pieces(path, |bytes| self.sha256.update(bytes)) } else { Ok(()) }
    }

    /// The sum that a whole file has instead of the one that it should have: its kind and its digits. None if they are the same, or if the
    /// name of the file is no sum.
    pub fn other(self, path: &Path) -> std::io::Result<Option<(&'static str, String)>> {
        let (kind, found) = match self.kind {
            Kind::Nothing => return Ok(None),
            Kind::Sha256 => ("SHA-256", vec![hex(self.sha256.finish())]),
            // of small files, whose length has to be known first
            Kind::Sha1 => ("git hash", sha1(path)?.into()),
        };
        let same = found.iter().any(|f| f.eq_ignore_ascii_case(self.etag));
        Ok(found.into_iter().next().filter(|_| !same).map(|f| (kind, f)))
    }
}

/// Git's hash of a file, and the one without what git puts before it.
fn sha1(path: &Path) -> std::io::Result<[String; 2]> {
    let new = |algorithm: &'static Algorithm| Context::new(algorithm);
    let (mut git, mut plain) = (new(&SHA1_FOR_LEGACY_USE_ONLY), new(&SHA1_FOR_LEGACY_USE_ONLY));
    git.update(format!("blob {}\0", path.metadata()?.len()).as_bytes());
    pieces(path, |bytes| {
        git.update(bytes);
        plain.update(bytes);
    })?;
    Ok([git, plain].map(|sum| hex(sum.finish())))
}

fn pieces(path: &Path, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; PIECE]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => take(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn hex(digest: Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    /// Of "abc": FIPS 180-2, appendices A.1 and B.1.
    const SHA1_ABC: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA256_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    /// `printf abc | git hash-object --stdin`
    const GIT_ABC: &str = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";

    /// What `content` has instead, coming in pieces and behind what is there already.
    fn other(etag: &str, before: &str, content: &[&str]) -> Option<(&'static str, String)> {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("part");
        std::fs::write(&part, before).unwrap();
        let mut sum = Sum::new(etag, COMMIT);
        sum.add_file(&part).unwrap();
        content.iter().for_each(|piece| sum.add(piece.as_bytes()));
        std::fs::write(&part, [before, &content.concat()].concat()).unwrap();
        sum.other(&part).unwrap()
    }

    #[test]
    fn sums_are_those_of_the_standards() {
        for etag in [SHA1_ABC, SHA256_ABC, GIT_ABC, &SHA256_ABC.to_uppercase()] {
            assert_eq!(other(etag, "", &["abc"]), None, "{etag}");
            assert_eq!(other(etag, "a", &["b", "", "c"]), None, "{etag}");
        }
        let changed = |etag: &str, last: &str| format!("{}{last}", &etag[..etag.len() - 1]);
        assert_eq!(other(&changed(SHA256_ABC, "e"), "a", &["bc"]), Some(("SHA-256", SHA256_ABC.to_owned())));
        assert_eq!(other(&changed(GIT_ABC, "e"), "a", &["bc"]), Some(("git hash", GIT_ABC.to_owned())));
    }

    #[test]
    fn other_names_say_nothing() {
        let odd = format!("{}g", &SHA256_ABC[1..]);
        for etag in [COMMIT, &odd, &SHA256_ABC[1..], "d41d8cd98f00b204e9800998ecf8427e", "65f1-1a2b", ""] {
            assert_eq!(other(etag, "", &["something else"]), None, "{etag}");
        }
    }
}
