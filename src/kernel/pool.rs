//! Runs the parts of a loop on all threads, for loops that last microseconds.
//!
//! A decode step is dozens of short loops, one after the other. Helpers therefore stay awake for a moment after a loop, looking for the
//! next one, and sleep only when none comes. How many take part is the size of the rayon pool that calls, so `--threads` and a pool of one's
//! own mean the same here and there. While one loop runs, a second caller (or a loop within a loop) does its own work alone:
//! there are never more threads at work than asked for.

use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a helper looks for the next loop before it sleeps.
const AWAKE: Duration = Duration::from_micros(100);

/// Calls `f` with 0..`tasks`, each number once, on the threads of the current pool; returns when all are done.
///
/// Tasks are handed out in ascending order. Which thread runs a task never changes a result: tasks write their own places.
pub fn each(tasks: usize, f: impl Fn(usize) + Sync) {
    let helpers = rayon::current_num_threads().min(tasks).saturating_sub(1);
    if helpers == 0 {
        return (0..tasks).for_each(f);
    }
    match TEAM.get_or_init(Mutex::default).try_lock() {
        Ok(mut team) => team.run(helpers, tasks, &f),
        Err(TryLockError::Poisoned(team)) => team.into_inner().run(helpers, tasks, &f),
        Err(TryLockError::WouldBlock) => (0..tasks).for_each(f),
    }
}

static TEAM: OnceLock<Mutex<Team>> = OnceLock::new();

/// A loop under way, as helpers see it.
struct Job {
    f: *const (dyn Fn(usize) + Sync),
    tasks: usize,
    next: AtomicUsize,
    panicked: AtomicBool,
}

impl Job {
    fn work(&self) {
        loop {
            let task = self.next.fetch_add(1, Relaxed);
            if task >= self.tasks {
                return;
            }
            // SAFETY: the caller of `run` waits for all helpers, so `f` lives
            unsafe { (*self.f)(task) }
        }
    }
}

/// What a helper and the caller share: an address of a [`Job`] while there is one for this helper, else 0.
struct Desk {
    job: AtomicUsize,
    asleep: AtomicBool,
}

struct Helper {
    desk: &'static Desk,
    thread: Thread,
}

#[derive(Default)]
struct Team(Vec<Helper>);

impl Team {
    fn run(&mut self, helpers: usize, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        while self.0.len() < helpers {
            match Helper::start() {
                Some(helper) => self.0.push(helper),
                // fewer threads do the same work
                None => break,
            }
        }
        let helpers = &self.0[..helpers.min(self.0.len())];
        // SAFETY: only the lifetime changes; the job is over when this function returns
        let f = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(f) };
        let job = Job { f, tasks, next: AtomicUsize::new(0), panicked: AtomicBool::new(false) };
        for helper in helpers {
            helper.desk.job.store(&raw const job as usize, SeqCst);
            if helper.desk.asleep.load(SeqCst) {
                helper.thread.unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| job.work()));
        job.next.fetch_max(tasks, Relaxed);
        for helper in helpers {
            let mut turns = 0u32;
            while helper.desk.job.load(Acquire) != 0 {
                turns += 1;
                // somebody else may need the core that the helper waits for
                if turns.is_multiple_of(1 << 12) { thread::yield_now() } else { spin_loop() }
            }
        }
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!job.panicked.load(Relaxed), "a task failed on another thread");
    }
}

impl Helper {
    fn start() -> Option<Self> {
        let desk: &'static Desk = Box::leak(Box::new(Desk { job: AtomicUsize::new(0), asleep: AtomicBool::new(false) }));
        let thread = thread::Builder::new().name("effattn".into()).spawn(move || help(desk)).ok()?.thread().clone();
        Some(Self { desk, thread })
    }
}

/// A helper's life.
fn help(desk: &Desk) {
    loop {
        let job = wait(desk) as *const Job;
        // SAFETY: the address of a job whose owner waits until it is put back to 0
        let job = unsafe { &*job };
        if catch_unwind(AssertUnwindSafe(|| job.work())).is_err() {
            job.panicked.store(true, Relaxed);
            job.next.fetch_max(job.tasks, Relaxed);
        }
        desk.job.store(0, Release);
    }
}

/// The next job: looks for one for a while, then sleeps until it is woken.
fn wait(desk: &Desk) -> usize {
    let since = Instant::now();
    let mut turns = 0u32;
    loop {
        let job = desk.job.load(Acquire);
        if job != 0 {
            return job;
        }
        spin_loop();
        turns += 1;
        if turns.is_multiple_of(256) && since.elapsed() > AWAKE {
            desk.asleep.store(true, SeqCst);
            while desk.job.load(SeqCst) == 0 {
                thread::park();
            }
            desk.asleep.store(false, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn pool(n: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            pool(threads).install(|| {
                for tasks in [0, 1, 2, 3, 7, 1000] {
                    let seen: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                    each(tasks, |t| {
                        seen[t].fetch_add(1, Relaxed);
                    });
                    assert!(seen.iter().all(|s| s.load(Relaxed) == 1), "{threads} {tasks}");
                }
            });
        }
    }

    #[test]
    fn many_short_loops_from_many_callers_and_loops_within_loops() {
        thread::scope(|s| {
            for caller in 0..4 {
                s.spawn(move || {
                    let pool = pool(3);
                    pool.install(|| {
                        for i in 0..300 {
                            if i % 100 == 99 {
                                thread::sleep(2 * AWAKE); // helpers fall asleep
                            }
                            let sum = AtomicUsize::new(0);
                            each(5, |a| {
                                each(4, |b| {
                                    sum.fetch_add(a * 4 + b + caller, Relaxed);
                                })
                            });
                            assert_eq!(sum.into_inner(), 190 + 20 * caller);
                        }
                    });
                });
            }
        });
    }

    #[test]
    fn a_failed_task_fails_the_loop_and_nothing_after() {
        pool(3).install(|| {
            for bad in [0, 5, 9] {
                let failed = catch_unwind(|| each(10, |t| assert!(t != bad)));
                assert!(failed.is_err());
            }
            let sum = AtomicUsize::new(0);
            each(10, |t| {
                sum.fetch_add(t, Relaxed);
            });
            assert_eq!(sum.into_inner(), 45);
        });
    }
}
