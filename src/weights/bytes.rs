//! Where the bytes of a checkpoint are.

use memmap2::Mmap;
use std::ops::Range;

/// The bytes of one file.
pub(super) enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl Bytes {
    pub fn get(&self) -> &[u8] {
        match self {
            Bytes::Mapped(m) => m,
            Bytes::Static(s) => s,
        }
    }

    /// Whether they are a file's.
    pub fn is_file(&self) -> bool {
        matches!(self, Bytes::Mapped(_))
    }

    /// Lets the pages of a range go, where they are a file's: what has been packed need not stay in memory beside the panels.
    /// Whoever reads the range again gets it from the file again.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = self
            && !range.is_empty()
        {
            // SAFETY: the mapping is of a file and never written, so a page that goes comes back as it was
            let advised = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
            // only memory would be lost
            drop(advised);
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.get()
    }
}
