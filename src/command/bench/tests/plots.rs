//! The plots hold the numbers of the records: coordinates are turned back with the help of the axes' labels.

use super::{World, growing};
use serde_json::Value;

/// Of a plot: what its axes say, and its lines and bars by name.
struct Panel<'s>(&'s str);

impl<'s> Panel<'s> {
    /// The part of the picture that begins with a plot's title.
    fn of(svg: &'s str, title: &str) -> Self {
        let (_, rest) = svg.split_once(&format!("font-weight=\"bold\">\n{title}")).unwrap();
        Self(rest.split("font-weight=\"bold\"").next().unwrap())
    }

    /// Value and place of the labels of an axis: `end` stands left, `middle` below.
    fn labels(&self, anchor: &str, at: &str) -> Vec<(f64, f64)> {
        let mark = format!("text-anchor=\"{anchor}\"");
        let mut lines = self.0.lines();
        let mut labels = Vec::new();
        while let Some(line) = lines.next() {
            if let (true, Some((number, unit))) = (line.contains(&mark), lines.clone().next().and_then(|l| l.split_once(' '))) {
                let factor = match unit {
                    "ms" => 1e6,
                    "KiB" => 1024.0,
                    "MiB" => 1024.0 * 1024.0,
                    "%" => 1.0,
                    _ => continue,
                };
                labels.push((number.parse::<f64>().unwrap() * factor, attribute(line, at).parse().unwrap()));
            }
        }
        assert!(labels.len() > 2);
        labels
    }

    /// The points of what is drawn with strokes of that width in the name of a line.
    fn points(&self, name: &str, width: &str) -> Vec<Vec<(f64, f64)>> {
        let pair = |p: &str| p.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap();
        let groups = self.0.split("<g").filter(|g| g.contains(&format!("<title>{name}</title>")));
        let lines = groups.flat_map(str::lines).filter(|l| l.contains(&format!("stroke-width=\"{width}\"")));
        lines.map(|l| attribute(l, "points").split(' ').map(pair).collect()).collect()
    }
}

fn attribute<'l>(line: &'l str, name: &str) -> &'l str {
    let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
    rest.split('"').next().unwrap()
}

/// The value at a place, by the outermost labels of an axis.
fn value(labels: &[(f64, f64)], at: f64, log: bool) -> f64 {
    let scale = |v: f64| if log { v.ln() } else { v };
    let ((v, p), (w, q)) = (labels[0], labels[labels.len() - 1]);
    let found = scale(v) + (scale(w) - scale(v)) * (at - p) / (q - p);
    if log { found.exp() } else { found }
}

fn near(got: f64, want: f64, unit: f64, what: &str) {
    assert!((got - want).abs() <= unit, "{what}: {got} for {want}");
}

#[test]
fn plots_hold_the_numbers_of_the_records() {
    let world = World::new(growing);
    let (svg, lines) = (world.stored("plot.svg"), world.stored("report.jsonl"));
    let records: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let number = |r: &Value, key: &str| r[key].as_f64().unwrap();
    for (title, prefix, log) in [("encode", "encode_", true), ("a token", "tpot_", false)] {
        let panel = Panel::of(&svg, title);
        let y = panel.labels("end", "y");
        for (name, records) in [("led", &records[..3]), ("bart", &records[3..])] {
            let (means, bars) = (&panel.points(name, "20")[0], panel.points(name, "12"));
            assert_eq!((means.len(), bars.len()), (3, 3));
            for ((record, mean), bar) in records.iter().zip(means).zip(&bars) {
                let (avg, ci95) = (number(record, &format!("{prefix}avg_ns")), number(record, &format!("{prefix}ci95_ns")));
                // places are whole numbers: half of one is 0.1 % of a plot's height
                let unit = if log { 0.003 * avg } else { 2_000.0 };
                near(value(&y, mean.1, log), avg, unit, title);
                let low = bar.iter().map(|p| value(&y, p.1, log)).fold(f64::INFINITY, f64::min);
                let high = bar.iter().map(|p| value(&y, p.1, log)).fold(0.0, f64::max);
                near(low, avg - ci95, unit, title);
                near(high, avg + ci95, unit, title);
            }
        }
    }
    let panel = Panel::of(&svg, "memory");
    let y = panel.labels("end", "y");
    for (name, key, records) in [
        ("led · peak", "peak_rss_bytes", &records[..3]),
        ("bart · peak", "peak_rss_bytes", &records[3..]),
        ("led · state", "state_bytes", &records[..3]),
    ] {
        for (record, place) in records.iter().zip(&panel.points(name, "20")[0]) {
            near(value(&y, place.1, true) / number(record, key), 1.0, 0.01, name);
        }
    }
    let panel = Panel::of(&svg, "times of single tokens, at 64 tokens");
    let x = panel.labels("middle", "x");
    for (name, record) in [("led", &records[2]), ("bart", &records[5])] {
        let steps = &panel.points(name, "20")[0];
        near(value(&x, steps[0].0, false), number(record, "min_ns"), 1_000.0, name);
        near(value(&x, steps[steps.len() - 1].0, false), number(record, "max_ns"), 1_000.0, name);
        // as many below the median as above
        let height = value(
            &panel.labels("end", "y"),
            steps.iter().rfind(|p| value(&x, p.0, false) <= number(record, "p50_ns") + 500.0).unwrap().1,
            false,
        );
        near(height, 50.0, 4.0, name);
    }
}
