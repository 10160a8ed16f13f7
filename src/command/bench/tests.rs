//! The whole command with a clock, a machine and a memory that the tests bring: reports byte for byte, gates, journals.
//!
//! What `fixtures/bench/report` holds is written by `fixtures/bench/report.py`, which looks at the same clock and works the statistics out
//! with numpy and scipy. `{dir}`, `{isa}` and `{version}` stand there for what differs from machine to machine.

mod baseline;
mod journal;
mod plots;
mod refusals;
mod reports;

use super::{Environment, Inputs, Job, Plan, Progress, bench};
use crate::arch::REGISTRY;
use crate::cli::{Cli, Command};
use crate::command::Exit;
use crate::error::{Error, Result};
use crate::kernel::simd::isa;
use crate::machine::Machine;
use crate::machine::memory::Gauge;
use crate::timing::{Clock, Fake};
use clap::Parser;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A directory with tiny models, and what a run on it sees of the world.
struct World {
    dir: tempfile::TempDir,
    /// Microseconds that look number i at the clock takes.
    tick: fn(u64) -> u64,
    cpu: &'static str,
    available: usize,
    /// Looks at the clock and runs before this one: where an interrupted run goes on.
    earlier: (u64, usize),
    /// The look at the clock from which on the user wants out.
    stop: u64,
}

/// What a run leaves.
struct Ran {
    exit: Result<Exit>,
    out: String,
    /// Looks at the clock, earlier ones included.
    looks: u64,
    /// Models that were loaded.
    loaded: usize,
}

/// A fake clock that says how often it was looked at.
struct Watched {
    clock: Fake,
    looks: AtomicU64,
}

impl Clock for Watched {
    fn now(&self) -> Duration {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.clock.now()
    }
}

/// Memory as models are loaded and weighed: nothing is the same twice, so that a peak of the wrong run shows.
#[derive(Default)]
struct Scale {
    residents: AtomicUsize,
    peaks: AtomicUsize,
}

impl Gauge for Scale {
    /// 0, 1, 4, 9, … MiB: the first model takes 1 MiB, the second 5, the third 9.
    fn resident(&self) -> Option<usize> {
        Some(self.residents.fetch_add(1, Ordering::Relaxed).pow(2) << 20)
    }

    fn reset_peak(&self) -> bool {
        true
    }

    /// 200, 217, 234, … MiB.
    fn peak(&self) -> Option<usize> {
        Some((200 + 17 * self.peaks.fetch_add(1, Ordering::Relaxed)) << 20)
    }
}

thread_local! {
    /// Runs that have asked for the time of day.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// A minute and a bit later with every run.
fn now() -> String {
    let n = ASKED.replace(ASKED.get() + 1);
    format!("2024-05-06T{:02}:{:02}:{:02}Z", 7 + n / 60, n % 60, 7 * n % 60)
}

impl World {
    fn new(tick: fn(u64) -> u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for arch in REGISTRY {
            std::fs::create_dir(dir.path().join(arch.model_type)).unwrap();
            std::fs::write(dir.path().join(arch.model_type).join("config.json"), arch.tiny).unwrap();
        }
        Self { dir, tick, cpu: "Fake CPU @ 3 GHz", available: 1 << 30, earlier: (0, 0), stop: u64::MAX }
    }

    /// Adds BART with more inner features in its decoder, as `wide`: a step reads more.
    fn wide(&self) {
        let tiny = REGISTRY.iter().find(|a| a.model_type == "bart").unwrap().tiny;
        let config = tiny.replace("\"decoder_ffn_dim\": 36", "\"decoder_ffn_dim\": 100");
        assert_ne!(config, tiny);
        std::fs::create_dir(self.path("wide")).unwrap();
        std::fs::write(self.path("wide/config.json"), config).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `text` with what it leaves open filled in.
    fn fill(&self, text: &str) -> String {
        let dir = self.dir.path().display().to_string();
        text.replace("{dir}", &dir).replace("{isa}", isa().name()).replace("{version}", env!("CARGO_PKG_VERSION"))
    }

    fn machine(&self) -> Machine {
        Machine {
            cpu: self.cpu.to_owned(),
            physical_cores: 2,
            logical_cores: 4,
            last_level_cache: Some(1 << 20),
            memory: Some(16 << 30),
            os: "Linux 6.1".to_owned(),
            arch: "x86_64".to_owned(),
        }
    }

    /// Runs `effattn bench` with these words, `{dir}` filled in.
    fn run(&self, words: &str) -> Ran {
        let words = self.fill(&format!("effattn bench {words}"));
        let clock = Arc::new(Watched { clock: Fake::scripted(self.tick, Duration::from_micros(1)), looks: AtomicU64::new(0) });
        (0..self.earlier.0).for_each(|_| _ = clock.now());
        ASKED.set(self.earlier.1);
        let scale = Scale::default();
        let mut out = Vec::new();
        let exit = self.bench(&words, &clock, &scale, &mut out);
        let out = String::from_utf8(out).unwrap();
        Ran { exit, out, looks: clock.looks.load(Ordering::Relaxed), loaded: scale.residents.load(Ordering::Relaxed) / 2 }
    }

    fn bench(&self, words: &str, clock: &Arc<Watched>, gauge: &Scale, out: &mut Vec<u8>) -> Result<Exit> {
        let cli = Cli::try_parse_from(words.split_whitespace()).map_err(|e| Error::usage(e.to_string()))?;
        let Command::Bench(args) = &cli.command else { panic!("{words}") };
        args.check()?;
        let plan = Plan::new(args, &cli.common)?;
        let inputs = Inputs::read(args, &plan)?;
        let (watched, from) = (clock.clone(), self.stop);
        let environment = Environment {
            clock: clock.clone(),
            machine: self.machine(),
            bandwidth: plan.cases.iter().map(|c| (c.threads, [0.0, 10.04e9, 18.55e9][c.threads])).collect(),
            beyond_cache: true,
            available: Some(self.available),
            gauge,
            stop: Arc::new(move || watched.looks.load(Ordering::Relaxed) >= from),
            now,
        };
        let job = Job { args, plan: &plan, inputs: &inputs, environment: &environment, quiet: true };
        bench(&job, &Progress::new(false), out)
    }

    /// The text of a file in the directory.
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), self.fill(text)).unwrap();
    }

    /// A stored file, filled in.
    fn stored(&self, name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bench/report").join(name);
        self.fill(&std::fs::read_to_string(&path).unwrap_or_default())
    }

    /// Fails with the first line that is not the stored one; `EFFATTN_PRINTED` names a folder that takes what was printed.
    fn same(&self, printed: &str, name: &str) {
        if let Some(folder) = std::env::var_os("EFFATTN_PRINTED") {
            let dir = self.dir.path().display().to_string();
            std::fs::write(Path::new(&folder).join(name), printed.replace(&dir, "{dir}")).unwrap();
        }
        let stored = self.stored(name);
        if std::env::var_os("EFFATTN_PRINTED").is_some() {
            return;
        }
        for (i, (printed, stored)) in printed.lines().zip(stored.lines()).enumerate() {
            assert_eq!(printed, stored, "{name}:{}", i + 1);
        }
        assert_eq!(printed.len(), stored.len(), "{name}");
    }
}

impl Ran {
    fn done(self) -> String {
        assert_eq!(self.exit.unwrap(), Exit::Success);
        self.out
    }
}

/// 900 to 1,110 µs without any order.
fn noise(look: u64) -> u64 {
    900 + look * 7919 % 211
}

/// LED and BART at 16, 32 and 64 tokens, 12 new ones, one case after the other: 15 looks a run, and 6 runs a round.
///
/// LED grows with the length and BART with its square, so that LED overtakes; BART's tokens get slower from one to the next. What
/// happens between the encoder and the first step, and between two runs, takes long and counts for nothing.
fn growing(look: u64) -> u64 {
    let (case, at) = ((look / 15 % 6) as usize, look % 15);
    let encode = [2_000, 4_100, 8_300, 900, 3_400, 13_000][case];
    let token = [1_000, 1_030, 1_100, 800, 940, 1_500][case];
    match at {
        0 => encode * noise(look) / 1_000,
        1 => 50_000,
        14 => 70_000,
        _ if case > 2 => token * noise(look) / 1_000 + 9 * at,
        _ => token * noise(look) / 1_000,
    }
}

/// Mostly noise; now and then a step that takes forty times as long.
fn uneven(look: u64) -> u64 {
    if look % 97 == 13 { 40 * noise(look) } else { noise(look) }
}
