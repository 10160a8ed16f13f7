use super::*;
use crate::report::chart::{Axis, Point, Scale, Series, Unit};
use roxmltree::{Document, Node};

const UNITS: [Unit; 4] = [Unit::Count, Unit::Milliseconds, Unit::Bytes, Unit::Share];
const SCALES: [Scale; 2] = [Scale::Linear, Scale::Log];
const NASTY: &str = "</text><script>\"&'";

fn series(name: &str, points: &[(f64, f64)]) -> Series {
    Series { name: name.into(), points: points.iter().map(|&(x, y)| Point::new(x, y)).collect() }
}

fn chart(x: (Unit, Scale), y: (Unit, Scale), series: Vec<Series>) -> Chart {
    Chart { title: "title".into(), x: Axis::new("across", x.0, x.1), y: Axis::new("up", y.0, y.1), series, steps: false }
}

fn tokens(series: Vec<Series>) -> Chart {
    chart((Unit::Count, Scale::Log), (Unit::Milliseconds, Scale::Log), series)
}

fn times(n: u32) -> Chart {
    let times: Vec<(f64, f64)> =
        (1..=n).map(|i| (10.0 + (1.0 - f64::from(i) / f64::from(n + 1)).ln().abs(), f64::from(i) / f64::from(n))).collect();
    let c = chart((Unit::Milliseconds, Scale::Linear), (Unit::Share, Scale::Linear), vec![series("times", &times)]);
    Chart { steps: true, ..c }
}

fn number(n: Node, name: &str) -> f64 {
    n.attribute(name).unwrap().parse().unwrap()
}

/// Left, top, right, bottom and the text itself, in pixels.
fn texts(doc: &Document) -> Vec<([f64; 4], String)> {
    let one = |n: Node| {
        let text = n.text().unwrap().trim().to_string();
        let (x, y, size) = (number(n, "x") / FINE, number(n, "y") / FINE, number(n, "font-size") / FINE);
        let wide = width(&text, size) * if n.attribute("font-weight").is_some() { 1.13 } else { 1.0 };
        let left = x - wide
            * match n.attribute("text-anchor").unwrap() {
                "start" => 0.0,
                "middle" => 0.5,
                _ => 1.0,
            };
        ([left, y - size * 0.55, left + wide, y + size * 0.55], text)
    };
    doc.descendants().filter(|n| n.has_tag_name("text")).map(one).collect()
}

/// Fails where a text leaves the picture or touches another one.
fn readable(charts: &[Chart]) {
    let text = svg(charts).unwrap();
    let doc = Document::parse(&text).unwrap();
    let (wide, high) = (number(doc.root_element(), "width"), number(doc.root_element(), "height"));
    let all = texts(&doc);
    for (i, (a, this)) in all.iter().enumerate() {
        assert!(a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= wide && a[3] <= high, "{this} is cut: {a:?} in {wide} x {high}");
        for (b, other) in &all[..i] {
            let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
            assert!(apart, "`{this}` {a:?} touches `{other}` {b:?}");
        }
    }
}

/// Where a label stands, vertically, in the document's units.
fn height_of(doc: &Document, label: &str) -> f64 {
    number(doc.descendants().find(|n| n.has_tag_name("text") && n.text().unwrap().trim() == label).unwrap(), "y")
}

fn circles(doc: &Document) -> Vec<(f64, f64)> {
    let in_charts = |n: &Node| n.parent().unwrap().first_element_child().is_some_and(|c| c.has_tag_name("title"));
    let found = doc.descendants().filter(|n| n.has_tag_name("circle") && in_charts(n));
    found.map(|n| (number(n, "cx"), number(n, "cy"))).collect()
}

fn message(charts: &[Chart]) -> String {
    svg(charts).unwrap_err().to_string()
}

#[test]
fn labels_never_touch_nor_leave_the_picture() {
    let ends: [(f64, f64); 9] = [
        (1.0, 1.0),
        (3.0, 4.1),
        (0.013, 0.97),
        (7.0, 90.0),
        (512.0, 16384.0),
        (0.9, 3.1e6),
        (1e-7, 2e9),
        (998_877.0, 998_878.0),
        (2e6, 2.1e9),
    ];
    for unit in UNITS {
        for scale in SCALES {
            for (low, high) in ends {
                for n in [1_u32, 3, 8, 9, 40] {
                    // evenly by factors
                    let place = |i: u32| low * (high / low).powf(f64::from(i) / f64::from(n.max(2) - 1));
                    let spots: Vec<(f64, f64)> = (0..n).map(|i| (place(i), place(i))).collect();
                    let one = chart((unit, scale), (unit, scale), vec![series("s", &spots)]);
                    readable(std::slice::from_ref(&one));
                    readable(&[one.clone(), one.clone(), one]);
                }
            }
        }
    }
    readable(&[tokens(vec![series("close", &[(1000.0, 1.0), (1024.0, 1.0), (1025.0, 2.0), (16384.0, 9.0)])])]);
    readable(&[chart(
        (Unit::Count, Scale::Linear),
        (Unit::Milliseconds, Scale::Linear),
        vec![series("zero", &[(0.0, 0.0)]), series("less", &[(-5.0, -1e6)])],
    )]);
}

#[test]
fn long_names_and_many_of_them() {
    let name = |i: usize| format!("{i:02} {}", "wide names M".repeat(4)).chars().take(40).collect::<String>();
    let twelve: Vec<Series> = (0..12).map(|i| series(&name(i), &[(512.0, 1.0 + i as f64), (1024.0, 3.0 + i as f64)])).collect();
    let long = "word ".repeat(60) + &"x".repeat(400);
    let mut last = tokens(vec![series(&long, &[(1.0, 1.0)])]);
    (last.title, last.x.label, last.y.label) = (long.clone(), long.clone(), long);
    readable(&[tokens(twelve.clone())]);
    readable(&[tokens(twelve), times(50), last]);
}

#[test]
fn all_text_is_there_and_escaped() {
    let mut c = tokens(vec![series(NASTY, &[(1.0, 1.0)]), series("a\u{0}b", &[(1.0, 2.0)])]);
    (c.title, c.x.label, c.y.label) = (NASTY.into(), NASTY.into(), NASTY.into());
    let text = svg(&[c]).unwrap();
    let doc = Document::parse(&text).unwrap();
    assert_eq!(texts(&doc).iter().filter(|t| t.1 == NASTY).count(), 4);
    assert!(texts(&doc).iter().any(|t| t.1 == "a\u{fffd}b"));
    assert_eq!(doc.root_element().attribute("aria-label"), Some(NASTY));
    let known = ["svg", "title", "rect", "g", "polyline", "polygon", "circle", "text"];
    assert!(doc.descendants().filter(Node::is_element).all(|n| known.contains(&n.tag_name().name())));
}

#[test]
fn points_lie_where_the_axis_says() {
    let text = svg(&[tokens(vec![series("s", &[(512.0, 10.0), (1024.0, 100.0), (4096.0, 1000.0)])])]).unwrap();
    let doc = Document::parse(&text).unwrap();
    let at = circles(&doc);
    for (i, label) in [(0, "10 ms"), (2, "100 ms"), (4, "1 s")] {
        assert_eq!(at[i].1, height_of(&doc, label));
    }
    // each marker is a rim and a disc; two doublings are twice as far as one
    assert_eq!(at.len(), 6);
    assert!(((at[4].0 - at[2].0) / (at[2].0 - at[0].0) - 2.0).abs() < 0.01);
    for label in ["512", "1,024", "4,096"] {
        assert!(texts(&doc).iter().any(|t| t.1 == label));
    }
    let half = chart((Unit::Count, Scale::Linear), (Unit::Share, Scale::Linear), vec![series("s", &[(1.0, 0.5)])]);
    let text = svg(&[half]).unwrap();
    let doc = Document::parse(&text).unwrap();
    assert_eq!(circles(&doc)[0].1 * 2.0, height_of(&doc, "0 %") + height_of(&doc, "100 %"));
}

#[test]
fn error_bars_reach_from_low_to_high() {
    let bar = Point { x: 1.0, y: 100.0, low: 10.0, high: 1000.0 };
    let with = |points| svg(&[tokens(vec![Series { name: "s".into(), points }])]).unwrap();
    let text = with(vec![bar]);
    let doc = Document::parse(&text).unwrap();
    let (low, high) = (height_of(&doc, "10 ms") as i32, height_of(&doc, "1 s") as i32);
    let x = circles(&doc)[0].0 as i32;
    assert!(text.contains(&format!(" {x},{low} {x},{high} ")), "{text}");
    // one bar for two points, and none without one: no more than a marker
    let two = with(vec![bar, Point::new(2.0, 100.0)]);
    let doc = Document::parse(&two).unwrap();
    let bars = doc.descendants().find(|n| n.has_tag_name("title") && n.text() == Some("s")).unwrap().parent().unwrap();
    assert_eq!(bars.children().filter(|n| n.has_tag_name("polyline")).count(), 1);
    assert_eq!(with(vec![Point::new(1.0, 100.0)]).matches("<title>s</title>").count(), 1);
}

#[test]
fn the_legend_names_each_series_once_above_the_data() {
    let (a, b) = (series("led", &[(1.0, 1.0)]), series("bart", &[(1.0, 2.0), (2.0, 2.0)]));
    let text = svg(&[tokens(vec![a.clone(), b.clone()]), tokens(vec![b.clone(), a]), times(9)]).unwrap();
    let doc = Document::parse(&text).unwrap();
    let all = texts(&doc);
    let bottom = |name: &str| all.iter().filter(|t| t.1 == name).map(|t| t.0[3]).collect::<Vec<_>>();
    let titles = all.iter().filter(|t| t.1 == "title").map(|t| t.0[1]).fold(f64::INFINITY, f64::min);
    for name in ["led", "bart", "times"] {
        assert!(bottom(name).len() == 1 && bottom(name)[0] < titles, "{name}");
    }
    // the same look in both charts, though the order differs
    let strokes = |name: &str| {
        let groups = doc.descendants().filter(|n| n.has_tag_name("g") && n.first_element_child().and_then(|t| t.text()) == Some(name));
        let lines = groups.filter(|g| g.attribute("stroke-dasharray").is_some());
        lines.map(|g| g.last_element_child().unwrap().attribute("stroke").unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(strokes("bart"), ["#ED6504", "#ED6504"]);
}

#[test]
fn distributions_have_steps_and_no_markers() {
    let text = svg(&[times(10_000)]).unwrap();
    let doc = Document::parse(&text).unwrap();
    assert!(circles(&doc).is_empty() && !text.contains("<polygon") && text.len() < 20_000, "{}", text.len());
    let group = doc.descendants().find(|n| n.has_tag_name("title") && n.text() == Some("times")).unwrap().parent().unwrap();
    let points = group.last_element_child().unwrap().attribute("points").unwrap();
    let points: Vec<Vec<f64>> = points.split_whitespace().map(|p| p.split(',').map(|n| n.parse().unwrap()).collect()).collect();
    assert!(points.len() > 300 && points.windows(2).all(|w| (w[0][0] == w[1][0]) != (w[0][1] == w[1][1])), "a step is level or upright");
    assert_eq!((points[0][1], points[points.len() - 1][1]), (height_of(&doc, "0 %"), height_of(&doc, "100 %")));
}

#[test]
fn small_plain_and_the_same_every_time() {
    let curve = |k: f64| {
        series(&format!("model {k}"), &(9..15).map(|e| (f64::from(e).exp2(), k * f64::from(e) + 0.123_456_789)).collect::<Vec<_>>())
    };
    let lines = tokens((1..5).map(|k| curve(f64::from(k))).collect());
    let distributions = (0..4).map(|k| Series { name: format!("times {k}"), ..times(10_000 + k * 7).series.remove(0) }).collect();
    let charts = [lines.clone(), lines.clone(), lines, Chart { series: distributions, ..times(1) }];
    let text = svg(&charts).unwrap();
    assert_eq!(text, svg(&charts.clone()).unwrap());
    assert!(text.len() < 100_000, "{}", text.len());
    let doc = Document::parse(&text).unwrap();
    let drawn = doc.descendants().flat_map(|n| n.attributes()).filter(|a| !["aria-label", "dy", "xmlns"].contains(&a.name()));
    let numbers = drawn.flat_map(|a| a.value().split([' ', ',']).map(str::to_string)).filter(|v| v.parse::<f64>().is_ok());
    assert!(numbers.into_iter().all(|v| v.split_once('.').is_none_or(|(_, d)| d.len() <= 2)));
    assert_eq!((doc.root_element().attribute("role"), doc.root_element().attribute("class")), (Some("img"), Some("charts two")));
    assert!(svg(&charts[..1]).unwrap().contains("class=\"charts one\""));
}

#[test]
fn what_cannot_be_drawn() {
    assert_eq!(message(&[]), "there is nothing to draw");
    assert_eq!(message(&[tokens(vec![])]), "cannot draw `title`: there is no series in it");
    let good = series("good", &[(1.0, 1.0)]);
    assert!(message(&[tokens(vec![good.clone()]), tokens(vec![good.clone(), series("bad", &[(1.0, 0.0)])])]).contains("`bad`"));
    assert!(message(&[tokens(vec![good, series("bad", &[(1.0, f64::NAN)])])]).contains("`bad`"));
}

#[test]
fn up_to_eight_measured_places_are_labelled() {
    let thirds = |n: i32| (0..n).map(|i| (f64::from(3 << i), 1.0)).collect::<Vec<_>>();
    let labels = |n: i32| {
        let text = svg(&[tokens(vec![series("s", &thirds(n))])]).unwrap();
        let all = texts(&Document::parse(&text).unwrap());
        all.into_iter().map(|t| t.1).filter(|t| t.parse::<u32>().is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(labels(8), ["3", "6", "12", "24", "48", "96", "192", "384"]);
    assert_eq!(labels(9), ["4", "8", "16", "32", "64", "128", "256", "512"]);
}

#[test]
fn the_first_series_lies_on_top() {
    let text = svg(&[tokens(vec![series("first", &[(1.0, 1.0)]), series("second", &[(1.0, 1.0)])])]).unwrap();
    assert!(text.find("<title>second</title>") < text.find("<title>first</title>"));
}

#[test]
fn charts_are_in_line() {
    let wide = tokens(vec![series("s", &[(1.0, 100.0), (2.0, 900.0)])]);
    let narrow = chart((Unit::Count, Scale::Log), (Unit::Count, Scale::Log), vec![series("s", &[(1.0, 1.0), (2.0, 4.0)])]);
    let long = Chart { title: "many words ".repeat(20), ..narrow.clone() };
    let text = svg(&[wide, long, narrow.clone(), narrow]).unwrap();
    let doc = Document::parse(&text).unwrap();
    // each point is two circles, each chart two points; the first point is the lowest, and both charts of a row have it at the same part
    let at = circles(&doc);
    let first = |chart: usize| at[chart * 4];
    assert_eq!(at.len(), 16);
    assert_eq!((first(0).0, first(1).0), (first(2).0, first(3).0), "left edges");
    assert_eq!((first(0).1, first(2).1), (first(1).1, first(3).1), "lower edges");
    // a short heading stands close to its data
    let heads: Vec<f64> = texts(&doc).iter().filter(|t| t.1 == "up").map(|t| t.0[1]).collect();
    assert_eq!(heads[0], heads[1]);
}
