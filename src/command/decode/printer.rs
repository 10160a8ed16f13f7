//! Records as they are finished: to the output, and to standard error what belongs there.

use super::progress::Progress;
use crate::error::Result;
use crate::output::{Extras, Record, Target, complain, flat, say};

/// How records look.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// JSON lines rather than text.
    pub jsonl: bool,
    /// The only document: its text as it is, its failure the command's.
    pub alone: bool,
    /// Text appears token by token.
    pub stream: bool,
    /// Summaries a document.
    pub sequences: usize,
    /// Further keys.
    pub extras: Extras,
}

/// Writes records and keeps count.
pub struct Printer<'o> {
    /// Where they go.
    pub target: Target<'o>,
    /// How they look.
    pub form: Form,
    /// Nothing but errors on standard error.
    pub quiet: bool,
    /// The bar.
    pub progress: Progress,
    /// Documents finished.
    pub done: usize,
    /// Those among them that failed.
    pub failed: usize,
    /// Summaries whose line breaks became spaces.
    pub flattened: usize,
}

impl<'o> Printer<'o> {
    /// A printer that has printed nothing.
    pub fn new(target: Target<'o>, form: Form, quiet: bool, progress: Progress) -> Self {
        Self { target, form, quiet, progress, done: 0, failed: 0, flattened: 0 }
    }

    /// Writes a finished document; false when nobody reads any more. An error of the only document is the command's.
    pub fn record(&mut self, record: &Record, read: u64) -> Result<bool> {
        if let Err(error) = &record.outcome {
            if self.form.alone {
                return Err(error.clone());
            }
            self.failed += 1;
            self.progress.aside(|| complain(error));
        }
        self.done += 1;
        self.count_flattened(record);
        let mut text = match self.form {
            Form { jsonl: true, extras, .. } => record.json(extras),
            Form { stream: true, .. } => String::new(),
            Form { alone, sequences, .. } => record.text(alone, sequences),
        };
        text.push('\n');
        let target = &mut self.target;
        let open = self.progress.aside(|| target.write(&text))?;
        if self.form.extras.timings && !self.form.jsonl {
            self.progress.aside(|| say_times(record));
        }
        self.progress.document(self.done, read);
        Ok(open)
    }

    /// Writes text that is not a whole document yet; false when nobody reads any more.
    pub fn piece(&mut self, text: &str) -> Result<bool> {
        if text.is_empty() {
            return Ok(true);
        }
        if self.form.alone { self.target.write(text) } else { self.target.write(&flat(text)) }
    }

    fn count_flattened(&mut self, record: &Record) {
        if let (false, false, Ok(o)) = (self.form.jsonl, self.form.alone, &record.outcome) {
            self.flattened += o.summaries.iter().filter(|s| s.contains(['\n', '\r'])).count();
        }
    }
}

fn say_times(record: &Record) {
    if let Ok(o) = &record.outcome {
        let ms = |x: Option<f64>| x.map_or("none".to_owned(), |x| format!("{x:.3} ms"));
        let (ttft, tpot, total) = (ms(o.timing.ttft_ms()), ms(o.timing.tpot_ms()), ms(o.timing.total_ms()));
        let id = crate::document::id_text(&record.id);
        say(format_args!("`{id}`: ttft {ttft}, tpot {tpot}, total {total}, {} tokens", o.n_output));
    }
}
