//! From documents to records: reading ahead just enough for a batch, finishing in the order of the input.

use super::batch::{BatchSize, Decoder, Piece, Row};
use super::printer::Printer;
use super::stream::Stream;
use crate::command::interrupt;
use crate::decode::{Step, seed_of};
use crate::document::Item;
use crate::error::{Error, Result};
use crate::output::{Kept, Outcome, Record, say};
use crate::timing::Timing;
use std::collections::VecDeque;

/// Why the documents came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All are done.
    Done,
    /// The user asked to stop.
    Interrupted,
    /// Nobody reads the output any more.
    Closed,
}

/// A document whose record is not written yet.
struct Open {
    item: Item,
    seed: u64,
    /// Tokens in all and used, pieces; or why there are none.
    plan: Result<(usize, usize, usize)>,
    pieces: Vec<Piece>,
    /// What ran over it.
    attention: String,
}

impl Open {
    /// Whether nothing more will come: all its pieces are there, or it has failed.
    fn complete(&self) -> bool {
        self.plan.as_ref().map_or(true, |(_, _, pieces)| *pieces == self.pieces.len())
    }
}

/// Documents on their way.
pub struct Pipeline<'a, 'o> {
    decoder: &'a Decoder<'a>,
    printer: &'a mut Printer<'o>,
    batch: BatchSize,
    seed: u64,
    open: VecDeque<Open>,
    /// Rows that wait, each with the number of its document counted from the first one of the run.
    rows: VecDeque<(usize, Row)>,
    /// Number of the document at the front of `open`.
    front: usize,
}

impl<'a, 'o> Pipeline<'a, 'o> {
    /// An empty one.
    pub fn new(decoder: &'a Decoder<'a>, printer: &'a mut Printer<'o>, batch: BatchSize, seed: u64) -> Self {
        Self { decoder, printer, batch, seed, open: VecDeque::new(), rows: VecDeque::new(), front: 0 }
    }

    /// Decodes all `documents` but the first ones, whose records are `kept` from an earlier run.
    pub fn run(mut self, documents: &mut dyn Iterator<Item = Result<Item>>, kept: &[Kept]) -> Result<End> {
        for (n, record) in kept.iter().enumerate() {
            self.skip(n + 1, documents.next().transpose()?, record)?;
        }
        loop {
            let Some(rows) = self.fill(documents)? else { return Ok(End::Closed) };
            if rows == 0 {
                return Ok(End::Done);
            }
            interrupt::watch();
            if !self.decode(rows)? || !self.flush()? {
                return Ok(if interrupt::raised() { End::Interrupted } else { End::Closed });
            }
        }
    }

    /// Passes over a document that an earlier run has done.
    fn skip(&mut self, number: usize, item: Option<Item>, kept: &Kept) -> Result<()> {
        let hint = "give the same documents in the same order and the same `--seed`, or write to another file";
        let id = |v| crate::document::id_text(v);
        let item = item.ok_or_else(|| {
            Error::new(format!("the output has a record {number} (`{}`), the input has fewer documents", id(&kept.id))).hint(hint)
        })?;
        if item.id != kept.id || kept.seed != Some(seed_of(self.seed, &item.name())) {
            let what = if item.id == kept.id { "was made with another seed".to_owned() } else { format!("is of `{}`", id(&kept.id)) };
            return Err(Error::new(format!("record {number} of the output {what}, document {number} is `{}`", item.name())).hint(hint));
        }
        self.printer.done += 1;
        self.printer.failed += usize::from(kept.failed);
        self.printer.progress.document(self.printer.done, item.read);
        Ok(())
    }

    /// Reads until there are rows for a batch and says how many, 0 at the end of the input; none when nobody reads any more.
    fn fill(&mut self, documents: &mut dyn Iterator<Item = Result<Item>>) -> Result<Option<usize>> {
        loop {
            if let Some(rows) = self.batch.take(self.rows.iter().map(|(_, r)| r.ids.len())) {
                return Ok(Some(rows));
            }
            match documents.next() {
                None => return Ok(Some(self.rows.len())),
                Some(item) => self.accept(item?),
            }
            if !self.flush()? {
                return Ok(None);
            }
        }
    }

    fn accept(&mut self, item: Item) {
        if let (Some(asked), false) = (&item.renamed, self.printer.quiet) {
            self.printer.progress.aside(|| {
                say(format_args!("warning: {}: an earlier document has the id `{asked}`, this one becomes `{}`", item.place, item.name()));
            });
        }
        let (number, seed) = (self.front + self.open.len(), seed_of(self.seed, &item.name()));
        let prepared = item.text.as_ref().map_err(Error::clone).and_then(|t| self.decoder.prepare(t).map_err(|e| e.at(&item.place)));
        let attention = self.ran(prepared.as_ref().map_or(&[], |p| &p.pieces));
        let plan = prepared.map(|p| {
            let plan = (p.n_input, p.n_used, p.pieces.len());
            let seeds = std::iter::once(seed).chain((1..).map(|n: usize| seed_of(seed, &n.to_string())));
            self.rows.extend(p.pieces.into_iter().zip(seeds).map(|(ids, seed)| (number, Row { ids, seed })));
            plan
        });
        self.open.push_back(Open { item, seed, plan, pieces: Vec::new(), attention });
    }

    /// The attention that runs over a document in these pieces: each kind once, in their order.
    fn ran(&self, pieces: &[Vec<u32>]) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for kind in pieces.iter().map(|ids| self.decoder.model.attention(ids.len())) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.is_empty() { self.decoder.model.info().attention.clone() } else { kinds.join("; ") }
    }

    /// Decodes the first `n` rows that wait; false when the user or the reader wants no more.
    fn decode(&mut self, n: usize) -> Result<bool> {
        let (numbers, rows): (Vec<usize>, Vec<Row>) = self.rows.drain(..n).unzip();
        let mut stream = Stream::default();
        let found = match self.attempt(&rows, &mut stream) {
            Ok(found) => found.map(|f| f.into_iter().map(Ok).collect()),
            Err(error) if n == 1 => Some(vec![Err(error)]),
            Err(_) => self.each_alone(&rows)?,
        };
        let Some(found) = found else { return Ok(false) };
        for (number, piece) in numbers.into_iter().zip(found) {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    self.fail(number, error);
                    continue;
                }
            };
            let rest = match piece.texts.first() {
                Some(text) if self.printer.form.stream => stream.finish(text),
                _ => String::new(),
            };
            if !self.printer.piece(&rest)? {
                return Ok(false);
            }
            self.open[number - self.front].pieces.push(piece);
        }
        Ok(true)
    }

    /// Rows of a batch that failed together, one after the other: only the bad ones fail.
    fn each_alone(&mut self, rows: &[Row]) -> Result<Option<Vec<Result<Piece>>>> {
        let mut found = Vec::new();
        for row in rows {
            match self.attempt(std::slice::from_ref(row), &mut Stream::default()) {
                Ok(None) => return Ok(None),
                Ok(Some(pieces)) => found.extend(pieces.into_iter().map(Ok)),
                Err(error) => found.push(Err(error)),
            }
        }
        Ok(Some(found))
    }

    /// The document fails, whatever its other pieces gave.
    fn fail(&mut self, number: usize, error: Error) {
        let open = &mut self.open[number - self.front];
        if open.plan.is_ok() {
            open.plan = Err(error.at(&open.item.place));
        }
        self.rows.retain(|(waiting, _)| *waiting != number);
    }

    /// Runs rows through the model; none when the user or the reader wants no more.
    fn attempt(&mut self, rows: &[Row], stream: &mut Stream) -> Result<Option<Vec<Piece>>> {
        let (decoder, printer) = (self.decoder, &mut *self.printer);
        let first = self.open.front().is_none_or(|o| o.pieces.is_empty());
        let mut tokens = 0;
        decoder.run(rows, &mut |step: &Step| {
            tokens += 1;
            printer.progress.token(printer.done, tokens);
            if let (true, Some(&(_, Some(token)))) = (printer.form.stream, step.tokens.first()) {
                let space = if tokens == 1 && !first { " " } else { "" };
                let text = stream.push(token, |ids| decoder.codec.decode(ids))?;
                return Ok(printer.piece(space)? && printer.piece(&text)? && !interrupt::raised());
            }
            Ok(!interrupt::raised())
        })
    }

    /// Writes the records at the front that are complete; false when nobody reads any more.
    fn flush(&mut self) -> Result<bool> {
        while self.open.front().is_some_and(Open::complete) {
            let Some(open) = self.open.pop_front() else { break };
            self.front += 1;
            let read = open.item.read;
            if !self.printer.record(&self.record(open), read)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record(&self, open: Open) -> Record {
        Record {
            id: open.item.id,
            seed: open.seed,
            attention: open.attention,
            outcome: open.plan.map(|(n_input, n_used, _)| joined(open.pieces, n_input, n_used)),
            fields: open.item.fields,
        }
    }
}

/// The pieces of a document as one: texts joined by a space, times and tokens added up, no score that nobody defined.
fn joined(pieces: Vec<Piece>, n_input: usize, n_used: usize) -> Outcome {
    let sequences = pieces.iter().map(|p| p.texts.len()).min().unwrap_or(0);
    let text = |n: usize| pieces.iter().filter_map(|p| p.texts.get(n)).map(String::as_str).collect::<Vec<_>>().join(" ");
    Outcome {
        summaries: (0..sequences).map(text).collect(),
        score: if let [piece] = pieces.as_slice() { piece.score } else { None },
        stopped: pieces.iter().all(|p| p.stopped),
        n_input,
        n_used,
        n_output: pieces.iter().map(|p| p.n_output).sum(),
        chunks: pieces.len(),
        timing: pieces.into_iter().fold(Timing::default(), |mut all, p| {
            all.append(p.timing);
            all
        }),
    }
}
