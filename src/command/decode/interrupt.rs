//! Ctrl-C: a flag that the decoding loop looks at after every token.

use std::sync::atomic::{AtomicBool, Ordering};

static RAISED: AtomicBool = AtomicBool::new(false);

/// Whether the user wants out.
pub fn raised() -> bool {
    RAISED.load(Ordering::Relaxed)
}

/// From now on the first Ctrl-C raises the flag; a second one ends the process as usual.
#[cfg(unix)]
pub fn watch() {
    extern "C" fn raise(_signal: libc::c_int) {
        RAISED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the action is fully initialised (all zeros is an empty mask and no flags), lives through the call, and the
    // handler only stores to an atomic, which is async-signal-safe
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = raise as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
        libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut());
    }
}

/// Ctrl-C ends the process at once on this system.
#[cfg(not(unix))]
pub fn watch() {}
