//! Every segment by itself.

use super::args::OutputFormat;
use super::evaluate::{Column, Counts, Outcome, column};
use super::report::{Style, score_line};
use crate::metric::Score;
use crate::metric::signature::Setting;
use crate::report::{Table, csv_line, fixed};
use serde_json::{Map, Value, json};

/// All segments of all systems, as text; `ids` are those of the segments, if they have any.
pub fn report(counts: &Counts, ids: Option<&[Value]>, style: &Style) -> String {
    let setting = Setting { references: counts.references, ..Setting::default() };
    let columns: Vec<Column> = counts.columns.iter().map(|&(m, which)| column(counts.metrics[m], which, &setting)).collect();
    let sheet = Sheet { counts, columns, ids };
    match style.format {
        OutputFormat::Text => sheet.lines(style),
        OutputFormat::Markdown => sheet.table(style).markdown(),
        OutputFormat::Csv => sheet.csv(),
        OutputFormat::Json => format!("{:#}\n", json!(sheet.objects().collect::<Vec<_>>())),
        OutputFormat::Jsonl => sheet.objects().map(|v| format!("{v}\n")).collect(),
    }
}

struct Sheet<'a> {
    counts: &'a Counts<'a>,
    columns: Vec<Column<'a>>,
    ids: Option<&'a [Value]>,
}

impl Sheet<'_> {
    /// (system, segment, scores), the segments of a system one after the other.
    fn rows(&self) -> impl Iterator<Item = (&str, usize, Vec<Score>)> {
        self.counts.systems.iter().flat_map(move |(name, rows)| {
            let segments = self.counts.metrics.iter().zip(rows).map(|(m, rows)| rows.len() / m.width()).next().unwrap_or(0);
            (0..segments).map(move |i| (name.as_str(), i, self.scores(rows, i)))
        })
    }

    fn scores(&self, rows: &[Vec<f64>], segment: usize) -> Vec<Score> {
        let score = |&(m, which): &(usize, usize)| {
            let metric = self.counts.metrics[m];
            metric.score(which, &rows[m][segment * metric.width()..][..metric.width()], 1)
        };
        self.counts.columns.iter().map(score).collect()
    }

    /// A segment's id, else its number from 1.
    fn id(&self, segment: usize) -> Value {
        self.ids.map_or_else(|| json!(segment + 1), |ids| ids[segment].clone())
    }

    fn several(&self) -> bool {
        self.counts.systems.len() > 1
    }

    fn lines(&self, style: &Style) -> String {
        let line = |column: &Column, score: Score| score_line(column, &Outcome { score, interval: None, paired: None }, style) + "\n";
        self.rows().flat_map(|(_, _, scores)| self.columns.iter().zip(scores).map(|(c, s)| line(c, s)).collect::<Vec<_>>()).collect()
    }

    /// The columns' names before those of the scores.
    fn heads(&self) -> Vec<String> {
        ["system", "segment"][usize::from(!self.several())..].iter().map(|&s| s.to_owned()).collect()
    }

    fn cells(&self, system: &str, segment: usize) -> Vec<String> {
        let id = crate::document::id_text(&self.id(segment));
        if self.several() { vec![system.to_owned(), id] } else { vec![id] }
    }

    fn table(&self, style: &Style) -> Table {
        let heads = self.heads();
        let numbers: Vec<usize> = (heads.len()..heads.len() + self.columns.len()).collect();
        let mut table = Table::new(heads.into_iter().chain(self.columns.iter().map(|c| c.title.clone()))).right(&numbers);
        for (system, segment, scores) in self.rows() {
            let scores = self.columns.iter().zip(scores).map(|(c, s)| fixed(s.value, style.digits(c)));
            table.row(self.cells(system, segment).into_iter().chain(scores));
        }
        table
    }

    fn csv(&self) -> String {
        let head: Vec<String> = self.heads().into_iter().chain(self.columns.iter().map(|c| c.title.clone())).collect();
        let row = |(system, segment, scores): (&str, usize, Vec<Score>)| {
            let cells: Vec<String> = self.cells(system, segment).into_iter().chain(scores.iter().map(|s| s.value.to_string())).collect();
            csv_line(&cells)
        };
        csv_line(&head) + &self.rows().map(row).collect::<String>()
    }

    /// `{"id": …, "BLEU": {"score": …, …}}`, with `system` where there are several.
    fn objects(&self) -> impl Iterator<Item = Value> {
        self.rows().map(|(system, segment, scores)| {
            let mut object = Map::new();
            if self.several() {
                object.insert("system".into(), json!(system));
            }
            object.insert("id".into(), self.id(segment));
            for (column, score) in self.columns.iter().zip(scores) {
                let fields = score.fields.into_iter().map(|(key, value)| (key.to_owned(), value));
                let all: Map<String, Value> = std::iter::once(("score".to_owned(), json!(score.value))).chain(fields).collect();
                object.insert(column.title.clone(), Value::Object(all));
            }
            Value::Object(object)
        })
    }
}
