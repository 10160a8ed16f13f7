//! One run of a case: what is timed, and nothing else.

use super::case::{Case, Test};
use crate::decode::{Generation, search};
use crate::error::Result;
use crate::memory::State;
use crate::model::{Model, Probe, Source};
use crate::suite::Strategy;
use crate::timing::phases::{Phase, Phases};
use crate::timing::{Clock, Laps};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// What one run took, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Reading the document or prompt: what [`Model::encode`] took.
    pub encode: u64,
    /// Each step, the first included.
    pub tokens: Vec<u64>,
    /// Bytes of the state at the end.
    pub state_bytes: usize,
}

impl Sample {
    /// Start to first token.
    pub fn ttft(&self) -> Option<u64> {
        self.tokens.first().map(|first| self.encode + first)
    }
}

/// Time by phase of one run, in the order of [`Phase::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseTimes {
    /// Of reading.
    pub encode: [Duration; Phase::ALL.len()],
    /// Of all steps.
    pub steps: [Duration; Phase::ALL.len()],
    /// All of reading.
    pub encode_total: Duration,
    /// All steps.
    pub steps_total: Duration,
}

/// What has been read when a run gets so far.
enum Read {
    /// The document or prompt.
    Document,
    /// What the decoder holds before its first new token.
    Beginning,
}

/// Runs cases of one model.
pub struct Worker<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// Tells the time.
    pub clock: &'a Arc<dyn Clock>,
    /// Seed of token ids and draws.
    pub seed: u64,
    /// Whether to give up: looked at between steps, outside of what is timed.
    pub stop: &'a (dyn Fn() -> bool + Send + Sync),
}

/// Logits of a forced beginning that are made at once, and thrown away: 16 MiB.
const LOGITS: usize = 4 << 20;

impl Worker<'_> {
    /// One run; none if it was stopped.
    pub fn run(&self, case: &Case) -> Result<Option<Sample>> {
        self.probed(case, Probe::default(), &mut |_| ())
    }

    /// One run with its time by phase.
    pub fn phases(&self, case: &Case) -> Result<Option<PhaseTimes>> {
        let phases = Arc::new(Phases::new(self.clock.clone()));
        let mut encode = [Duration::ZERO; Phase::ALL.len()];
        let sample = self.probed(case, Probe::timing(phases.clone()), &mut |read| match read {
            Read::Document => encode = phases.take(),
            // what is forced into the decoder counts for nothing
            Read::Beginning => {
                phases.take();
            }
        })?;
        Ok(sample.map(|s| PhaseTimes {
            encode,
            steps: phases.take(),
            encode_total: Duration::from_nanos(s.encode),
            steps_total: Duration::from_nanos(s.tokens.iter().sum()),
        }))
    }

    /// The logits of the first token that the decoder writes, (batch, v).
    pub fn first(&self, case: &Case) -> Result<Vec<f32>> {
        let rows: Vec<Vec<u32>> = (0..case.batch).map(|row| self.document(case.test.source(), 2 * row as u64)).collect();
        let (mut state, first) = self.model.encode(&Source::new(rows))?;
        Ok(self.model.step(&first, &mut state)?.flatten_all()?.to_vec1()?)
    }

    /// `read` is called when something has been read, outside of what is timed.
    fn probed(&self, case: &Case, probe: Probe, read: &mut dyn FnMut(Read)) -> Result<Option<Sample>> {
        let info = self.model.info();
        let rows: Vec<Vec<u32>> = (0..case.batch).map(|row| self.document(case.test.source(), 2 * row as u64)).collect();
        let settings = settings(case);
        let seeds: Vec<u64> = (0..case.batch as u64).map(|row| self.seed.wrapping_add(row)).collect();
        let source = Source { probe, ..Source::new(rows.clone()) };
        let mut laps = Laps::start(self.clock.as_ref());
        let (mut state, mut first) = self.model.encode(&source)?;
        let mut sample = Sample { encode: nanos(laps.lap()), ..Sample::default() };
        read(Read::Document);
        if case.test.steps() == 0 {
            sample.state_bytes = state.bytes();
            return Ok(Some(sample));
        }
        let mut prompts = if info.encoder_decoder { first.iter().map(|&t| vec![t]).collect() } else { rows };
        if let Test::Encoder { depth: depth @ 1.., .. } = case.test {
            self.force(depth, &mut prompts, &mut state)?;
            read(Read::Beginning);
            first = prompts.iter().filter_map(|p| p.last().copied()).collect();
        }
        if (self.stop)() {
            return Ok(None);
        }
        laps.skip();
        let mut search = search(self.model, state, first, prompts, &seeds, &settings)?;
        for _ in 0..case.test.steps() {
            let Some(step) = search.next() else { break };
            step?;
            sample.tokens.push(nanos(laps.lap()));
            if (self.stop)() {
                return Ok(None);
            }
        }
        sample.state_bytes = search.state_bytes();
        Ok(Some(sample))
    }

    /// Makes the decoder hold `depth` tokens: the prompts grow by as many, and all but the last token of each are read.
    fn force(&self, depth: usize, prompts: &mut [Vec<u32>], state: &mut State) -> Result<()> {
        for (row, prompt) in prompts.iter_mut().enumerate() {
            prompt.extend(self.ids(depth, 2 * row as u64 + 1));
        }
        let together = together(prompts.len(), self.model.info().vocab_size);
        for at in (0..depth).step_by(together) {
            let chunk: Vec<Vec<u32>> = prompts.iter().map(|p| p[at..depth.min(at + together)].to_vec()).collect();
            self.model.score(&chunk, state)?;
        }
        Ok(())
    }

    /// What a row reads first: seeded token ids, the first of them what the model reads before any prompt, if it has such a token.
    fn document(&self, n: usize, stream: u64) -> Vec<u32> {
        let mut ids = self.ids(n, stream);
        ids.first_mut().zip(self.model.info().prompt_start).into_iter().for_each(|(first, start)| *first = start);
        ids
    }

    /// Seeded token ids; a longer document begins with a shorter one.
    fn ids(&self, n: usize, stream: u64) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        let vocabulary = self.model.info().vocab_size.max(1) as u64;
        (0..n).map(|_| ((u64::from(rng.next_u32()) * vocabulary) >> 32) as u32).collect()
    }
}

/// Tokens of a forced beginning that are read at once, of each of so many rows.
pub fn together(rows: usize, vocabulary: usize) -> usize {
    (LOGITS / rows.saturating_mul(vocabulary).max(1)).clamp(1, 64)
}

/// The bare strategy: no processors, no end token.
fn settings(case: &Case) -> Generation {
    Generation {
        num_beams: case.beams(),
        do_sample: case.strategy == Strategy::Sample,
        eos: Vec::new(),
        max_new_tokens: Some(case.test.steps()),
        ..Generation::default()
    }
}

/// Nanoseconds of a duration; 584 years are enough.
fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::REGISTRY;
    use crate::kernel::precision::Precision;
    use crate::timing::Fake;
    use crate::weights::Store;

    fn case(test: Test, batch: usize, strategy: Strategy) -> Case {
        Case { model: 0, test, batch, threads: 1, dtype: Precision::F32, strategy }
    }

    fn tiny(model_type: &str) -> Box<dyn Model> {
        let arch = REGISTRY.iter().find(|a| a.model_type == model_type).unwrap();
        (arch.load)(&serde_json::from_str(arch.tiny).unwrap(), &Arc::new(Store::random(7)).root()).unwrap().model
    }

    fn worker<'a>(model: &'a dyn Model, clock: &'a Arc<dyn Clock>) -> Worker<'a> {
        Worker { model, clock, seed: 0, stop: &|| false }
    }

    /// Looks at the clock: start, encoder, then skip, then one a token; each moves it on by one more than the last.
    #[test]
    fn the_clock_is_looked_at_once_a_token() {
        let model = tiny("led");
        let clock: Arc<dyn Clock> = Arc::new(Fake::scripted(|look| look + 1, Duration::from_nanos(1)));
        let run = worker(&*model, &clock).run(&case(Test::Encoder { source: 9, depth: 0, new: 4 }, 1, Strategy::Greedy)).unwrap().unwrap();
        assert_eq!((run.encode, run.tokens.as_slice()), (1, &[3, 4, 5, 6][..]));
        assert_eq!(run.ttft(), Some(4));
        assert_eq!(run.state_bytes, model.state_bytes(9, 4));
    }

    #[test]
    fn what_the_state_holds_in_the_end() {
        let clock: Arc<dyn Clock> = Arc::new(Fake::ticking(Duration::from_nanos(1)));
        let (led, gpt2) = (tiny("led"), tiny("gpt2"));
        let bytes = |model: &dyn Model, test, batch, strategy| {
            worker(model, &clock).run(&case(test, batch, strategy)).unwrap().unwrap().state_bytes
        };
        let depth = Test::Encoder { source: 40, depth: 30, new: 5 };
        assert_eq!(bytes(&*led, depth, 1, Strategy::Greedy), led.state_bytes(40, 35));
        assert_eq!(bytes(&*led, depth, 3, Strategy::Sample), 3 * led.state_bytes(40, 35));
        let (cross, own) = (led.state_bytes(40, 0), led.state_bytes(0, 35));
        assert_eq!(bytes(&*led, depth, 2, Strategy::Beam(4)), 2 * (cross + 4 * own));
        assert_eq!(bytes(&*led, Test::Encoder { source: 40, depth: 0, new: 0 }, 2, Strategy::Greedy), 2 * cross);
        assert_eq!(bytes(&*gpt2, Test::Generate { depth: 33, new: 7 }, 1, Strategy::Greedy), gpt2.state_bytes(0, 40));
        assert_eq!(bytes(&*gpt2, Test::Prompt(33), 1, Strategy::Greedy), gpt2.state_bytes(0, 33));
    }

    #[test]
    fn phases_are_those_of_the_family_and_within_the_whole() {
        let clock: Arc<dyn Clock> = Arc::new(Fake::ticking(Duration::from_nanos(1)));
        for (name, encodes, steps) in [
            ("led", [true, true, true, true, false, false], [true; 6]),
            ("gpt2", [true, true, false, true, false, false], [true, true, false, true, true, true]),
        ] {
            let model = tiny(name);
            let test = if name == "led" { Test::Encoder { source: 9, depth: 0, new: 3 } } else { Test::Generate { depth: 8, new: 3 } };
            let times = worker(&*model, &clock).phases(&case(test, 1, Strategy::Greedy)).unwrap().unwrap();
            assert_eq!(times.encode.map(|d| !d.is_zero()), encodes, "{name}");
            assert_eq!(times.steps.map(|d| !d.is_zero()), steps, "{name}");
            assert!(times.steps.iter().sum::<Duration>() < times.steps_total && times.encode.iter().sum::<Duration>() < times.encode_total);
        }
    }

    #[test]
    fn a_forced_beginning_counts_for_no_phase() {
        let (model, clock): (_, Arc<dyn Clock>) = (tiny("led"), Arc::new(Fake::ticking(Duration::from_nanos(1))));
        let times = |depth| {
            worker(&*model, &clock).phases(&case(Test::Encoder { source: 9, depth, new: 3 }, 1, Strategy::Greedy)).unwrap().unwrap()
        };
        assert_eq!(times(0), times(40));
    }

    /// What a decoder-only model of trax reads begins with its start token, and is as long as before.
    #[test]
    fn documents_begin_with_what_their_model_reads_first() {
        let clock: Arc<dyn Clock> = Arc::new(Fake::ticking(Duration::from_nanos(1)));
        let (gpt2, reformer) = (tiny("gpt2"), tiny("trax_reformer_lm"));
        for n in [1, 2, 40] {
            let [plain, begun] = [&gpt2, &reformer].map(|model| worker(&**model, &clock).document(n, 4));
            assert_eq!((begun.len(), begun[0]), (n, 0));
            assert_eq!(begun[1..], worker(&*reformer, &clock).ids(n, 4)[1..]);
            assert_eq!(plain, worker(&*gpt2, &clock).ids(n, 4));
        }
        let begun = |seed| Worker { seed, ..worker(&*reformer, &clock) }.ids(1, 0)[0];
        assert!((0..9).any(|seed| begun(seed) != 0), "made-up ids begin with anything");
    }

    #[test]
    fn a_stopped_run_is_none() {
        let (model, clock): (_, Arc<dyn Clock>) = (tiny("led"), Arc::new(Fake::ticking(Duration::from_nanos(1))));
        let worker = Worker { stop: &|| true, ..worker(&*model, &clock) };
        assert_eq!(worker.run(&case(Test::Encoder { source: 9, depth: 0, new: 4 }, 1, Strategy::Greedy)).unwrap(), None);
    }

    /// Encoder and tokens add up to what a clock outside sees, and looking at the clock is a small part of it.
    #[cfg(feature = "embedded-model")]
    #[test]
    fn the_parts_add_up_to_the_whole() {
        use std::time::Instant;
        let model = crate::checkpoint::Checkpoint::embedded(&Default::default()).unwrap().model;
        let clock: Arc<dyn Clock> = Arc::new(crate::timing::System::start());
        let case = case(Test::Encoder { source: 300, depth: 0, new: 40 }, 1, Strategy::Greedy);
        let worker = worker(&*model, &clock);
        worker.run(&case).unwrap();
        let run = || {
            let outside = Instant::now();
            let sample = worker.run(&case).unwrap().unwrap();
            let wall = outside.elapsed().as_nanos() as f64;
            let looks = Instant::now();
            (0..sample.tokens.len() + 3).for_each(|_| {
                std::hint::black_box(clock.now());
            });
            let looks = looks.elapsed().as_nanos() as f64;
            let parts = (sample.encode + sample.tokens.iter().sum::<u64>()) as f64;
            (parts / wall, looks / wall)
        };
        // a machine that is busy may stop us between two looks: the best of a few says what the program does
        let runs: Vec<(f64, f64)> = (0..5).map(|_| run()).collect();
        assert!(runs.iter().all(|(parts, _)| *parts <= 1.0), "{runs:?}");
        assert!(runs.iter().any(|(parts, looks)| *parts > 0.98 && *looks < 0.01), "{runs:?}");
    }
}
