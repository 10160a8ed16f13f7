//! Ctrl-C: a flag that whoever decodes looks at after every token.

use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static RAISED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Whether the user wants out.
pub fn raised() -> bool {
    RAISED.get().is_some_and(|r| r.load(Ordering::Relaxed))
}

/// From now on the first Ctrl-C raises the flag; a second one ends the process as usual.
pub fn watch() {
    RAISED.get_or_init(|| {
        let raised = Arc::new(AtomicBool::new(false));
        // the order matters: a signal that finds the flag raised ends the process, and only then is it raised.
        // where the system lets nobody listen, Ctrl-C ends the process at once, and `--resume` goes on
        let _ = flag::register_conditional_default(SIGINT, raised.clone()).and_then(|_| flag::register(SIGINT, raised.clone()));
        raised
    });
}
