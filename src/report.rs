//! Tables for people and programs. The only place that formats numbers of a report.

pub mod chart;
pub mod html;
mod look;
mod pen;
mod plot;
pub mod svg;
mod text;
mod ticks;

use tabled::builder::Builder;
use tabled::settings::object::{Columns, Object, Rows};
use tabled::settings::{Alignment, Style};

/// A table: one header, rows of cells that are formatted already.
#[derive(Debug, Clone, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// With these columns.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Aligns these columns right: numbers.
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// For a terminal: columns three spaces apart under a rule, no trailing blanks.
    pub fn text(&self) -> String {
        let mut builder = Builder::default();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            builder.push_record(row);
        }
        let mut table = builder.build();
        table.with(Style::blank());
        for &c in &self.right {
            table.modify(Columns::one(c).intersect(Rows::new(0..)), Alignment::right());
        }
        let lines: Vec<String> = table.to_string().lines().map(|l| l.trim_end().to_string()).collect();
        let width = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        let (head, body) = lines.split_first().map_or((String::new(), &[][..]), |(h, b)| (h.clone(), b));
        let rule = format!(" {}", "─".repeat(width.saturating_sub(1)));
        let mut out = vec![head, rule];
        out.extend(body.iter().cloned());
        out.join("\n") + "\n"
    }

    /// For a document: a markdown table.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            format!("| {} |\n", cells.iter().map(|c| c.replace('|', "\\|").replace(['\n', '\r'], " ")).collect::<Vec<_>>().join(" | "))
        };
        let rule: Vec<&str> = (0..self.header.len()).map(|c| if self.right.contains(&c) { "--:" } else { "---" }).collect();
        let mut out = line(&self.header) + &format!("|{}|\n", rule.join("|"));
        self.rows.iter().for_each(|r| out += &line(r));
        out
    }

    /// For a page: an HTML table, the first cell of a row its header; columns of numbers have the class `n`.
    pub fn html(&self) -> String {
        let line = |cells: &[String], head: bool| {
            let cell = |(c, text): (usize, &String)| {
                let class = if self.right.contains(&c) { " class=\"n\"" } else { "" };
                let (tag, scope) = match (head, c) {
                    (true, _) => ("th", " scope=\"col\""),
                    (false, 0) => ("th", " scope=\"row\""),
                    _ => ("td", ""),
                };
                format!("<{tag}{scope}{class}>{}</{tag}>", text::escape(text))
            };
            format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
        };
        let body: String = self.rows.iter().map(|r| line(r, false)).collect();
        format!("<table>\n<thead>\n{}</thead>\n<tbody>\n{body}</tbody>\n</table>\n", line(&self.header, true))
    }
}

/// A number with so many digits after the point; no minus before a zero.
pub fn fixed(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
        _ => text,
    }
}

/// A line of comma-separated values, quoted where they need it.
pub fn csv_line(cells: &[String]) -> String {
    let cell = |c: &String| if c.contains([',', '"', '\n', '\r']) { format!("\"{}\"", c.replace('"', "\"\"")) } else { c.clone() };
    cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\n"
}

/// 1234567 -> 1,234,567.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes with a unit, powers of 1024, three digits.
pub fn bytes(n: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let (mut x, mut unit) = (n as f64 / 1024.0, 0);
    while x >= 999.5 && unit + 1 < UNITS.len() {
        x /= 1024.0;
        unit += 1;
    }
    let digits = if x < 9.995 {
        2
    } else if x < 99.95 {
        1
    } else {
        0
    };
    format!("{x:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((bytes(1023), bytes(1024), bytes(20_000_000)), ("1023 B".into(), "1.00 KiB".into(), "19.1 MiB".into()));
        assert_eq!((bytes(1_048_000), bytes(1 << 40)), ("1.00 MiB".into(), "1.00 TiB".into()));
    }

    #[test]
    fn fixed_digits_and_values_with_commas() {
        assert_eq!((fixed(0.25, 1), fixed(-0.04, 1), fixed(-1.26, 1)), ("0.2".into(), "0.0".into(), "-1.3".into()));
        assert_eq!(csv_line(&["a,b".into(), "say \"no\"".into(), "1".into()]), "\"a,b\",\"say \"\"no\"\"\",1\n");
    }

    #[test]
    fn a_table_aligns_and_has_no_trailing_blanks() {
        let mut t = Table::new(["name", "n"]).right(&[1]);
        t.row(["a", "1"]);
        t.row(["long name", "1,000"]);
        assert_eq!(t.text(), " name            n\n ─────────────────\n a               1\n long name   1,000\n");
        assert_eq!(t.markdown(), "| name | n |\n|---|--:|\n| a | 1 |\n| long name | 1,000 |\n");
    }

    #[test]
    fn a_table_in_a_page() {
        let mut t = Table::new(["<name>", "n"]).right(&[1]);
        t.row(["a&b", "1"]);
        let head = "<thead>\n<tr><th scope=\"col\">&lt;name&gt;</th><th scope=\"col\" class=\"n\">n</th></tr>\n</thead>";
        let body = "<tbody>\n<tr><th scope=\"row\">a&amp;b</th><td class=\"n\">1</td></tr>\n</tbody>";
        assert_eq!(t.html(), format!("<table>\n{head}\n{body}\n</table>\n"));
    }
}
