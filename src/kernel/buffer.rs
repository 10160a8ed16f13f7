//! Memory for weights: aligned to cache lines, in pages of 2 MiB where it is large and the system gives them.

use super::linear::product::LINE as ALIGN;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
#[cfg(target_os = "linux")]
use std::sync::{Arc, Mutex, Weak};

/// Bytes of a huge page.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;
/// Bytes of address space that small buffers share, and from which a buffer has its own.
#[cfg(target_os = "linux")]
const SHARED: usize = 8 * HUGE;

/// Bytes, zero at first, whose address is a multiple of 64.
///
/// They lie in huge pages if Linux agrees, small buffers side by side in one: a core that streams weights then looks up 512 times fewer
/// page addresses, and a model is loaded with as many fewer page faults. Pages are given when they are first written.
pub struct Buffer {
    start: *mut u8,
    len: usize,
    owner: Owner,
}

/// Whose bytes they are.
enum Owner {
    /// The allocator's.
    Heap,
    /// A mapping's, which goes when its last buffer goes.
    #[cfg(target_os = "linux")]
    Mapped(#[expect(dead_code, reason = "held until the buffer goes")] Arc<Mapping>),
}

// SAFETY: it owns its bytes; nothing about them belongs to a thread
unsafe impl Send for Buffer {}
// SAFETY: shared references only read
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zero bytes.
    pub fn new(len: usize) -> Self {
        #[cfg(target_os = "linux")]
        if let Some((start, mapping)) = Mapping::room(len) {
            return Self { start, len, owner: Owner::Mapped(mapping) };
        }
        let layout = layout(len);
        // SAFETY: the layout is not empty
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        Self { start, len, owner: Owner::Heap }
    }
}

fn layout(len: usize) -> Layout {
    // a power of two and a length that a Vec could have: no failure but absurd sizes
    Layout::from_size_align(len.max(1), ALIGN).unwrap_or(Layout::new::<[u8; 64]>())
}

/// Address space of our own.
#[cfg(target_os = "linux")]
struct Mapping {
    start: *mut u8,
    len: usize,
}

// SAFETY: it only gives the space back
#[cfg(target_os = "linux")]
unsafe impl Send for Mapping {}
// SAFETY: as above
#[cfg(target_os = "linux")]
unsafe impl Sync for Mapping {}

/// The mapping from which small buffers are cut at present, and where its unused rest begins.
#[cfg(target_os = "linux")]
static CURRENT: Mutex<(Weak<Mapping>, usize)> = Mutex::new((Weak::new(), 0));

#[cfg(target_os = "linux")]
impl Mapping {
    /// Room for `len` bytes that nobody has used yet; none for a handful of bytes, or if the system has no address space left.
    fn room(len: usize) -> Option<(*mut u8, Arc<Self>)> {
        if len < 4096 {
            return None;
        }
        if len >= SHARED / 2 {
            let own = Arc::new(Self::new(len)?);
            return Some((own.start, own));
        }
        let mut current = CURRENT.lock().ok()?;
        let room = len.next_multiple_of(ALIGN);
        let shared = current.0.upgrade().filter(|m| current.1 + room <= m.len);
        let shared = match shared {
            Some(shared) => shared,
            None => {
                let fresh = Arc::new(Self::new(SHARED)?);
                *current = (Arc::downgrade(&fresh), 0);
                fresh
            }
        };
        // SAFETY: `current.1 + room` bytes lie within the mapping
        let start = unsafe { shared.start.add(current.1) };
        current.1 += room;
        Some((start, shared))
    }

    /// Fresh address space that begins with a huge page.
    fn new(len: usize) -> Option<Self> {
        let len = len.next_multiple_of(4096);
        // SAFETY: fresh anonymous memory; what lies before and behind the part we keep goes back at once
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let base = libc::mmap(std::ptr::null_mut(), len + HUGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
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
                libc::munmap(start.add(len).cast(), HUGE - skip);
            }
            // a wish: where it is refused, small pages do the same
            libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE);
            Some(Self { start, len })
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `new` kept, and no buffer is left in it
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Owner::Heap = self.owner {
            // SAFETY: allocated in `new` with this layout
            unsafe { dealloc(self.start, layout(self.len)) }
        }
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
        const MIB: usize = 1 << 20;
        let lengths = [0, 1, 63, 64, 4095, 4096, 4097, 2 * MIB - 1, 2 * MIB, 7 * MIB + 1, 7 * MIB, 5 * MIB, 8 * MIB, 20 * MIB + 5];
        let mut all: Vec<Buffer> = lengths.map(Buffer::new).into();
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
