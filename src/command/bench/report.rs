//! The tables: times, memory, phases, growth, the paper's figures, the baseline, and the lines around them.

use super::Environment;
use super::case::{Case, Test};
use super::cells::{NONE, memory_cells, minus, overtaking_line, phase_cells, rate, threads, time_cells};
use super::compare::{Change, closing};
use super::distance;
use super::figures::Figures;
use super::growth::{Line, growth, overtaking};
use super::measured::Measured;
use super::names::DIMENSIONS;
use super::paper::{self, Line as PaperLine};
use super::plan::Plan;
use super::quality::Quality;
use super::turns::Turns;
use crate::kernel::simd::isa;
use crate::report::{Table as Cells, bytes, fixed, grouped};

/// All that is known when the measuring is over.
pub struct Table<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// The machine.
    pub environment: &'a Environment<'a>,
    /// Whether the models took turns in memory.
    pub turns: Turns,
    /// Figures of each case, if it was run.
    pub figures: Vec<Option<Figures>>,
    /// Quality of each model, if somebody asked.
    pub quality: Vec<Option<Quality>>,
    /// What the paper reported.
    pub paper: Vec<PaperLine>,
    /// Each case against the baseline, if there is one.
    pub changes: Vec<Change>,
    /// What the baseline does not know, or measured elsewhere.
    pub remarks: Vec<String>,
}

/// A table with its heading, and lines below it.
pub struct Part {
    /// Its heading.
    pub heading: &'static str,
    /// The table.
    pub cells: Cells,
    /// Lines below it.
    pub notes: Vec<String>,
}

impl Table<'_> {
    /// The lines above the tables: the suite, the machine, what all cases share.
    pub fn lead(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((summary, source)) = &self.plan.suite {
            lines.push(source.as_ref().map_or_else(|| summary.clone(), |s| format!("{summary} ({s})")));
        }
        lines.push(self.machine());
        let p = &self.plan.protocol;
        let runs = match p.repetitions {
            1 => "1 run a case".to_owned(),
            n => format!("{n} runs a case, interleaved"),
        };
        let warmup = match (p.warmup, self.turns) {
            (true, Turns::No) => "a warm-up before",
            (true, _) => "a warm-up after each load",
            (false, _) => "no warm-up",
        };
        let mut shared = self.plan.constant();
        shared.push(runs);
        if self.turns.taken() {
            shared.push("one model in memory at a time".to_owned());
        }
        shared.push(warmup.to_owned());
        if self.plan.models.iter().all(|m| m.random.is_some()) {
            shared.push("made-up weights".to_owned());
        }
        lines.push(shared.join(", "));
        lines
    }

    /// The machine in a line.
    pub fn machine(&self) -> String {
        let m = &self.environment.machine;
        let memory = m.memory.map_or(String::new(), |b| format!(", {} of memory", bytes(b)));
        let rates: Vec<String> = self.environment.bandwidth.iter().map(|(t, b)| format!("{} with {}", rate(*b), threads(*t))).collect();
        let reads = if rates.is_empty() { String::new() } else { format!(", read at up to {}", rates.join(", ")) };
        format!("{}, {} cores, {}{memory}{reads}, {}", m.cpu, m.physical_cores, isa().name(), m.os)
    }

    /// All tables.
    pub fn parts(&self, measured: &[Measured]) -> Vec<Part> {
        let lines = Line::all(self.plan, &self.figures);
        let mut parts = vec![self.times(measured), self.memory()];
        parts.extend(self.phases(measured));
        parts.extend(self.growth(&lines));
        parts.extend(distance::table(self.plan, measured).map(|cells| Part {
            heading: "Distance",
            cells,
            notes: vec![distance::NOTE.to_owned()],
        }));
        if let Some(cells) = paper::table(self.plan, &self.paper) {
            let notes = vec![
                "ratios: how many times faster than the model in `against`; ±: 95 %".to_owned(),
                "by bytes: the weights that a step of that model reads over those of this one, the ratio if nothing but reading them took time"
                    .to_owned(),
            ];
            parts.push(Part { heading: "The paper", cells, notes });
        }
        parts.extend(self.baseline());
        parts
    }

    /// Who is faster.
    pub fn closing(&self) -> Vec<String> {
        closing(self.plan, &self.figures)
    }

    /// The cells that tell a row from others: model, test, and what varies.
    fn names(&self, case: &Case) -> Vec<String> {
        let mut cells = vec![self.plan.models[case.model].name.clone(), case.test.name()];
        cells.extend(DIMENSIONS.iter().filter(|(_, of)| self.plan.varies(*of)).map(|(_, of)| of(case)));
        cells
    }

    fn header(&self, rest: &[&str]) -> (Vec<String>, usize) {
        let mut header = vec!["model".to_owned(), "test".to_owned()];
        for ((_, of), name) in DIMENSIONS.iter().zip(["batch", "threads", "dtype", "strategy"]) {
            if self.plan.varies(*of) {
                header.push(name.to_owned());
            }
        }
        let names = header.len();
        header.extend(rest.iter().map(|s| (*s).to_owned()));
        (header, names)
    }

    fn rows(&self) -> impl Iterator<Item = (&Case, Option<&Figures>)> {
        self.plan.cases.iter().zip(self.figures.iter().map(Option::as_ref))
    }

    fn times(&self, measured: &[Measured]) -> Part {
        let quality = self.quality.iter().any(Option::is_some);
        let mut columns = vec!["encode ms", "TTFT ms", "ms/token", "p50", "p90", "p99", "min–max", "t/s", "drift"];
        if quality {
            columns.extend(["R-1", "R-2", "R-Lsum", "ppl"]);
        }
        let (header, names) = self.header(&columns);
        let right: Vec<usize> = (names..header.len()).collect();
        let mut cells = Cells::new(header).right(&right);
        for (case, figures) in self.rows() {
            let mut row = self.names(case);
            row.extend(figures.map_or_else(|| vec![NONE.to_owned(); 9], |f| time_cells(case, f)));
            if quality {
                let q = self.quality.get(case.model).and_then(Option::as_ref);
                row.extend(q.map_or_else(|| vec![NONE.to_owned(); 4], Quality::cells));
            }
            cells.row(row);
        }
        Part { heading: "Times", cells, notes: self.time_notes(measured, quality) }
    }

    fn time_notes(&self, measured: &[Measured], quality: bool) -> Vec<String> {
        let mut notes = Vec::new();
        for (i, case) in self.plan.cases.iter().enumerate() {
            let name = || {
                let test = format!("{} {}", self.plan.models[case.model].name, case.test.name());
                [vec![test], self.plan.varied(case)].concat().join(", ")
            };
            if let Some(why) = &measured[i].failure {
                notes.push(format!("{}: not measured: {why}", name()));
            }
            let Some(f) = &self.figures[i] else {
                if measured[i].failure.is_none() {
                    notes.push(format!("{}: not reached", name()));
                }
                continue;
            };
            let (runs, planned) = (measured[i].samples.len(), self.plan.protocol.repetitions);
            if runs < planned {
                notes.push(format!("{}: {runs} of {planned} runs", name()));
            }
            if f.slow_start {
                notes.push(format!("{}: the first run was much slower than the others: was something not warm yet?", name()));
            } else if !f.outliers.is_empty() {
                notes.push(format!(
                    "{}: {} of {runs} runs lie far out; something else may have used the machine",
                    name(),
                    f.outliers.len()
                ));
            }
            if let (true, Some(token)) = (f.token_outliers > 0, &f.token) {
                notes.push(format!(
                    "{}: {} of {} tokens lie far out (more than 14.8 median deviations), they are kept",
                    name(),
                    f.token_outliers,
                    token.n
                ));
            }
        }
        if quality {
            notes.extend(self.quality.iter().zip(&self.plan.models).filter_map(|(q, m)| Some(format!("{}: {}", m.name, q.as_ref()?.note))));
        }
        notes
    }

    fn memory(&self) -> Part {
        let columns = ["forecast", "peak RSS", "state", "B/token", "weights/step", "state/step", "GB/s", "of best"];
        let (header, names) = self.header(&columns);
        let right: Vec<usize> = (names..header.len()).collect();
        let mut cells = Cells::new(header).right(&right);
        for (case, figures) in self.rows() {
            let mut row = self.names(case);
            row.push(bytes(super::forecast::Forecast::of(self.plan.models[case.model].sizes(case.dtype), case).total()));
            row.extend(figures.map_or_else(|| vec![NONE.to_owned(); 7], memory_cells));
            cells.row(row);
        }
        Part { heading: "Memory", cells, notes: self.cache_note().into_iter().collect() }
    }

    /// What is to be said where a step's bytes need not come from memory at all.
    fn cache_note(&self) -> Option<String> {
        let cache = self.environment.machine.last_level_cache?;
        let fits = |f: &Figures| f.traffic.as_ref().is_some_and(|t| t.weights as f64 + t.state < cache as f64);
        let any = self.figures.iter().flatten().any(fits);
        any.then(|| {
            format!("steps that read less than the cache holds ({}) need no memory: their share of its best rate says little", bytes(cache))
        })
    }

    fn phases(&self, measured: &[Measured]) -> Option<Part> {
        measured.iter().any(|m| m.phases.is_some()).then(|| {
            let mut columns = vec!["of"];
            columns.extend(["ms", "embed", "self-att.", "cross-att.", "feed-fwd.", "logits", "sampling", "other"]);
            let (header, names) = self.header(&columns);
            let right: Vec<usize> = (names + 1..header.len()).collect();
            let mut cells = Cells::new(header).right(&right);
            for (case, measured) in self.plan.cases.iter().zip(measured) {
                let Some(p) = measured.phases else { continue };
                if !matches!(case.test, Test::Generate { .. }) {
                    cells.row(self.names(case).into_iter().chain(phase_cells("reading", &p.encode, p.encode_total, 1)));
                }
                if case.test.steps() > 0 {
                    cells.row(self.names(case).into_iter().chain(phase_cells("a token", &p.steps, p.steps_total, case.test.steps())));
                }
            }
            let note = "of one more run, which counts for no other figure: looking takes time too".to_owned();
            Part { heading: "Phases", cells, notes: vec![note] }
        })
    }

    fn growth(&self, lines: &[Line]) -> Option<Part> {
        let fits = growth(lines);
        if fits.is_empty() {
            return None;
        }
        let mut cells = Cells::new(["model", "of", "lengths", "exponent", "95 %", "at the end"]).right(&[3, 4, 5]);
        for fit in &fits {
            let range = lines[fit.line].samples(fit.quantity);
            let (first, last) = (range.first().map_or(0.0, |p| p.0), range.last().map_or(0.0, |p| p.0));
            cells.row([
                lines[fit.line].name.clone(),
                fit.quantity.name(lines[fit.line].case.test).to_owned(),
                format!("{}–{}", grouped(first as usize), grouped(last as usize)),
                minus(&fixed(fit.power.exponent, 2)),
                fit.power.exponent_ci95.map_or_else(|| NONE.to_owned(), |c| format!("± {}", fixed(c, 2))),
                minus(&fixed(fit.power.end, 2)),
            ]);
        }
        let mut notes =
            vec!["exponent: slope of log time (or bytes) over log length, 2 is quadratic; 95 %: how far the lengths lie from one line; at the end: between the two longest".to_owned()];
        notes.extend(overtaking(lines).iter().map(|o| overtaking_line(lines, o)));
        Some(Part { heading: "Growth", cells, notes })
    }

    fn baseline(&self) -> Option<Part> {
        if self.changes.is_empty() {
            return None;
        }
        let (header, names) = self.header(&["of", "new/old", "95 %", ""]);
        let mut cells = Cells::new(header).right(&[names + 1, names + 2]);
        for change in &self.changes {
            let mut row = self.names(&self.plan.cases[change.case]);
            let r = &change.ratio;
            row.push(change.of.to_owned());
            row.push(fixed(r.value, 3));
            row.push(if change.certain { format!("{}–{}", fixed(r.low, 3), fixed(r.high, 3)) } else { NONE.to_owned() });
            let word = match () {
                () if change.tripped => "too slow",
                () if !change.certain => "too few runs",
                () if r.low > 1.0 => "slower",
                () if r.high < 1.0 => "faster",
                () => "no difference shown",
            };
            row.push(word.to_owned());
            cells.row(row);
        }
        Some(Part { heading: "Against the baseline", cells, notes: self.remarks.clone() })
    }

    /// What taking turns is, and why it was done.
    fn turns_line(&self) -> Option<String> {
        let why = match self.turns {
            Turns::No => return None,
            Turns::Asked => "as asked".to_owned(),
            Turns::Forced { together, available } => {
                format!("as all together need about {} of {}", bytes(together), bytes(available))
            }
        };
        let warmed = if self.plan.protocol.warmup { ", warmed up" } else { "" };
        Some(format!(
            "models take turns, {why}: in each round one after the other is loaded{warmed}, timed and let go; loading is not timed"
        ))
    }

    /// What was timed and what was not.
    pub fn footer(&self) -> Vec<String> {
        let mut lines = vec![
            "encode: the document through the encoder, and the keys and values of the decoder's layers; of a decoder-only model: the prompt but for its last token".to_owned(),
            "TTFT: start to first token, encode included; ms/token: (total − TTFT) / (tokens − 1); ±: 95 % interval of the mean over runs (Student's t); p50 to max: all tokens after the first".to_owned(),
            "t/s: tokens of all documents over the steps' time (read, where nothing is written); drift: last quarter of the tokens against the first".to_owned(),
            "peak RSS: of the process in the case's first run, other models left out; B/token: growth of the state with a token of context; GB/s: weights and state that a step reads, over the median token".to_owned(),
            "timed: model and search; not timed: loading, tokenising, detokenising, printing; no end token, no logits processors".to_owned(),
        ];
        lines.extend(self.turns_line());
        if let Some(short) = self.environment.bandwidth_note() {
            lines.push(short);
        }
        lines
    }
}
