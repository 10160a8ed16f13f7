//! A decode step allocates nothing that grows with the length: neither with the tokens written nor with the document.

#![cfg(feature = "embedded-model")]

use effattn::checkpoint::{Checkpoint, Options};
use effattn::decode::{Generation, search};
use effattn::model::Source;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counting.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: handed on
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: handed on
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size, Relaxed);
        // SAFETY: handed on
        unsafe { System.realloc(p, layout, size) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: handed on
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that each step allocates, for a document of `n` tokens.
fn steps(checkpoint: &Checkpoint, n: usize) -> Vec<usize> {
    let model = checkpoint.model.as_ref();
    let ids: Vec<u32> = (0..n as u32).map(|i| 10 + i % 1000).collect();
    let (state, first) = model.encode(&Source::new(vec![ids])).unwrap();
    let settings = Generation { eos: Vec::new(), max_new_tokens: Some(201), ..Generation::default() };
    let prompts = first.iter().map(|t| vec![*t]).collect();
    let mut search = search(model, state, first, prompts, &[0], &settings).unwrap();
    let mut bytes = Vec::new();
    let mut before = BYTES.load(Relaxed);
    for step in search.by_ref() {
        step.unwrap();
        let now = BYTES.load(Relaxed);
        bytes.push(now - before);
        before = now;
    }
    bytes
}

#[test]
fn a_step_allocates_the_same_at_any_length() {
    let checkpoint = Checkpoint::embedded(&Options::default()).unwrap();
    steps(&checkpoint, 16); // threads start
    let (short, long) = (steps(&checkpoint, 64), steps(&checkpoint, 2048));
    let median = |part: &[usize]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    assert_eq!(short.len(), 201);
    let (early, late, far) = (median(&short[10..50]), median(&short[150..200]), median(&long[10..50]));
    assert_eq!((early, early), (late, far), "bytes a step: early, late, of a long document");
    // what is kept of the output may double its room now and then: a few kilobytes
    let most = short[10..].iter().chain(&long[10..]).max().unwrap();
    assert!(*most <= early + (64 << 10), "{most} against {early}");
}
