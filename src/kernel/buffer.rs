//! Memory for weights: aligned to cache lines, in pages of 2 MiB where it is large and the system gives them.

use super::linear::product::LINE as ALIGN;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Bytes, zero at first, whose address is a multiple of 64.
///
/// Whole multiples of 2 MiB lie in huge pages if Linux agrees: a core that streams weights then looks up 512 times fewer page addresses.
/// Pages are given when they are first written, so the thread that packs a part decides where it lies.
pub struct Buffer {
    start: *mut u8,
    len: usize,
    mapped: bool,
}

// SAFETY: it owns its bytes; nothing about them belongs to a thread
unsafe impl Send for Buffer {}
// SAFETY: shared references only read
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zero bytes.
    pub fn new(len: usize) -> Self {
        #[cfg(target_os = "linux")]
        if len >= HUGE
            && let Some(start) = map(len)
        {
            return Self { start, len, mapped: true };
        }
        let layout = layout(len);
        // SAFETY: the layout is not empty
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Self { start, len, mapped: false }
    }
}

fn layout(len: usize) -> Layout {
    // a power of two and a length that a Vec could have: no failure but absurd sizes
    Layout::from_size_align(len.max(1), ALIGN).unwrap_or(Layout::new::<[u8; 64]>())
}

/// Address space of `len` bytes that begins with a huge page; none if the system has none left.
#[cfg(target_os = "linux")]
fn map(len: usize) -> Option<*mut u8> {
    let pages = len.next_multiple_of(4096);
    // SAFETY: fresh anonymous memory; what lies before and behind the part we keep goes back at once
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let base = libc::mmap(std::ptr::null_mut(), pages + HUGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if base == libc::MAP_FAILED {
            return None;
        }
        let base = base.cast::<u8>();
        let skip = base.align_offset(HUGE);
        if skip > 0 {
            libc::munmap(base.cast(), skip);
        }
        let start = base.add(skip);
        if HUGE > skip {
            libc::munmap(start.add(pages).cast(), HUGE - skip);
        }
        // a wish: where it is refused, small pages do the same
        libc::madvise(start.cast(), pages, libc::MADV_HUGEPAGE);
        Some(start)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if self.mapped {
            // SAFETY: what `map` kept
            unsafe { libc::munmap(self.start.cast(), self.len.next_multiple_of(4096)) };
            return;
        }
        // SAFETY: allocated in `new` with this layout
        unsafe { dealloc(self.start, layout(self.len)) }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes of ours, initialised with zeros
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has them
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_aligned_and_their_own() {
        let mut all: Vec<Buffer> = [0, 1, 63, 64, 4096, HUGE - 1, HUGE, HUGE + 1, 3 * HUGE + 5].map(Buffer::new).into();
        for (i, b) in all.iter_mut().enumerate() {
            assert_eq!(b.as_ptr() as usize % ALIGN, 0);
            assert!(b.iter().all(|x| *x == 0));
            b.fill(i as u8 + 1);
        }
        for (i, b) in all.iter().enumerate() {
            assert!(b.iter().all(|x| *x == i as u8 + 1), "{i}");
        }
    }
}
