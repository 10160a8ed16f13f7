//! What a suite file says, and what the tests of mistakes begin with.

mod keys;
mod meaning;

use super::*;
use crate::arch::Choice;
use crate::cli::Dtype;
use std::path::Path;

/// A good file; the numbers are those of its lines.
pub(super) const GOOD: [&str; 54] = [
    "summary = \"LED against BART\"",
    "source = \"a paper\"",
    "",
    "[protocol]",
    "repetitions = 3", // 5
    "warmup = false",
    "drop = 2",
    "statistic = \"median\"",
    "delay = 0.5",
    "take-turns = true", // 10
    "[[model]]",
    "name = \"led\"",
    "path = \"../led\"",
    "random-weights = true",
    "seed = 7", // 15
    "",
    "[[model]]",
    "name = \"bart\"",
    "shipped = \"bart-base\"",
    "", // 20
    "[[case]]",
    "models = [\"led\", \"bart\"]",
    "n-prompt = \"512-2048*4\"",
    "n-gen = 64",
    "threads = [1, 2]", // 25
    "",
    "[[case]]",
    "models = \"led\"",
    "n-prompt = 4096",
    "n-gen = 0", // 30
    "strategy = \"beam4\"",
    "",
    "[[reported]]",
    "model = \"led\"",
    "n-prompt = 512", // 35
    "threads = 1",
    "figure = 0.061",
    "unit = \"s/token\"",
    "where = \"table 8\"",
    "against = \"bart\"", // 40
    "ratio = 2.62",
    "",
    "[[reported]]",
    "model = \"bart\"",
    "n-prompt = 512", // 45
    "threads = 1",
    "figure = 160",
    "unit = \"ms/token\"",
    "",
    "[[reported]]", // 50
    "model = \"led\"",
    "n-prompt = 4096",
    "figure = 1.5",
    "unit = \"s\"",
];

/// The good file with other lines in places.
fn edited(edits: &[(usize, &str)]) -> String {
    let mut lines = GOOD.map(str::to_owned);
    for (line, text) in edits {
        lines[line - 1] = (*text).to_owned();
    }
    lines.join("\n")
}

fn parse(text: &str) -> crate::error::Result<Suite> {
    Suite::parse("x.toml", text, Some(Path::new("suites")))
}

/// The good file with other lines in places is refused, with this message, at this line, with this remedy.
#[track_caller]
fn refused(edits: &[(usize, &str)], line: usize, message: &str, hint: &str) {
    refuses(&edited(edits), line, message, hint);
}

#[track_caller]
fn refuses(text: &str, line: usize, message: &str, hint: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.message(), format!("x.toml:{line}: {message}"));
    assert_eq!(error.remedy(), Some(hint));
    assert_eq!(error.exit_code(), 1);
}

/// A small file that ends with other lines.
fn small(end: &str) -> String {
    format!("summary = \"s\"\n[[model]]\nname = \"m\"\npath = \"m\"\n[[case]]\nn-prompt = 8\nn-gen = 8\n{end}")
}

#[test]
fn a_file_with_everything() {
    let suite = parse(&edited(&[])).unwrap();
    assert_eq!((suite.file.as_str(), suite.summary.as_str(), suite.source.as_deref()), ("x.toml", "LED against BART", Some("a paper")));
    let protocol = Protocol {
        repetitions: 3,
        warmup: false,
        drop: 2,
        statistic: Statistic::Median,
        delay: std::time::Duration::from_millis(500),
        take_turns: true,
    };
    assert_eq!(suite.protocol, protocol);
    let led = Model {
        name: "led".into(),
        origin: Origin::Directory("suites/../led".into()),
        random_weights: Some(7),
        set: None,
        attention: Choice::Auto,
        distance_from: None,
        line: 13,
    };
    let bart = Model {
        name: "bart".into(),
        origin: Origin::Shipped("bart-base".into()),
        random_weights: None,
        set: None,
        attention: Choice::Auto,
        distance_from: None,
        line: 19,
    };
    assert_eq!(suite.models, [led, bart]);
    let case = |model, threads, n_prompt| Case {
        model,
        n_prompt,
        n_gen: 64,
        n_depth: 0,
        batch_size: 1,
        threads: Some(threads),
        dtype: Dtype::Auto,
        strategy: Strategy::Greedy,
        line: 21,
    };
    let last = Case { n_gen: 0, threads: None, strategy: Strategy::Beam(4), line: 27, ..case(0, 1, 4096) };
    let product = [0, 1].into_iter().flat_map(|m| [1, 2].into_iter().flat_map(move |t| [512, 2048].map(|p| case(m, t, p))));
    assert_eq!(suite.cases, product.chain([last]).collect::<Vec<_>>());
    let row = Reported {
        case: 0,
        figure: Some(0.061),
        unit: Unit::SecondsPerToken,
        quantity: Quantity::Token,
        place: Some("table 8".into()),
        against: Some(1),
        ratio: Some(2.62),
        line: 33,
    };
    let other = Reported {
        case: 4,
        figure: Some(160.0),
        unit: Unit::MillisecondsPerToken,
        place: None,
        against: None,
        ratio: None,
        line: 43,
        ..row.clone()
    };
    let encoder = Reported { case: 8, figure: Some(1.5), unit: Unit::Seconds, quantity: Quantity::Encoder, line: 50, ..other.clone() };
    assert_eq!(suite.reported, [row, other, encoder]);
    assert_eq!(suite.model(&suite.cases[4]).name, "bart");
    assert_eq!(suite.error(13, "gone").message(), "x.toml:13: gone");
}

#[test]
fn what_is_left_open_has_the_command_lines_default() {
    let suite = parse(&small("")).unwrap();
    let protocol =
        Protocol { repetitions: 5, warmup: true, drop: 0, statistic: Statistic::Mean, delay: std::time::Duration::ZERO, take_turns: false };
    assert_eq!((suite.protocol, suite.source, suite.reported), (protocol, None, vec![]));
    let [case] = &suite.cases[..] else { panic!("{:?}", suite.cases) };
    let expected = (0, 1, None, Dtype::Auto, Strategy::Greedy);
    assert_eq!((case.n_depth, case.batch_size, case.threads, case.dtype, case.strategy), expected);
    assert_eq!(suite.models[0].random_weights, None);
    let random = parse(&edited(&[(15, "")])).unwrap();
    assert_eq!(random.models[0].random_weights, Some(0));
}

#[test]
fn one_value_an_array_and_a_string_say_the_same() {
    let with = |line: &str| parse(&edited(&[(23, line)])).map(|s| s.cases);
    let expected = with("n-prompt = [512, 2048]").unwrap();
    for line in ["n-prompt = \"512,2048\"", "n-prompt = \"512-2048*4\"", "n-prompt = \"512-2048+1536\"", "n-prompt = [0x200, 2_048]"] {
        assert_eq!(with(line).unwrap(), expected, "{line}");
    }
    let dtypes: Vec<Dtype> =
        parse(&small("dtype = [\"f32\", \"auto\"]\nstrategy = \"sample\"")).unwrap().cases.iter().map(|c| c.dtype).collect();
    assert_eq!(dtypes, [Dtype::F32, Dtype::Auto]);
}

#[test]
fn toml_in_other_spellings_is_the_same_suite() {
    let good = parse(&edited(&[])).unwrap();
    let text = edited(&[]);
    for other in [text.replace('\n', "\r\n"), format!("\u{feff}{text}"), format!("{text}\n# the end\n")] {
        assert_eq!(parse(&other).unwrap(), good);
    }
    let inline = "summary = \"s\"\nmodel = [{name = \"m\", path = \"m\"}]\ncase = [{n-prompt = 8, n-gen = 8}]\nprotocol.drop = 1\n";
    let suite = parse(inline).unwrap();
    assert_eq!((suite.cases.len(), suite.protocol.drop, suite.models[0].line, suite.cases[0].line), (1, 1, 2, 3));
}

#[test]
fn directories_begin_at_the_file_and_shipped_suites_have_none() {
    let at = |path: &str, dir: Option<&Path>| {
        let text = small("").replace("path = \"m\"", &format!("path = {path:?}"));
        Suite::parse("x.toml", &text, dir).map(|s| s.models[0].origin.clone())
    };
    let directory = |path: &str| Ok(Origin::Directory(path.into()));
    let of = |result: crate::error::Result<Origin>| result.map_err(|e| format!("{e} / {}", e.remedy().unwrap()));
    assert_eq!(of(at("m", Some(Path::new("")))), directory("m"));
    assert_eq!(of(at("/models/m", Some(Path::new("suites")))), directory("/models/m"));
    assert_eq!(of(at("/models/m", None)), directory("/models/m"));
    let relative =
        "x.toml:4: `path` of model `m` is relative, and this suite has no directory / name what is part of the program with `shipped`";
    assert_eq!(of(at("../m", None)), Err(relative.to_owned()));
}

#[test]
fn units_in_seconds() {
    let close = |unit: Unit, figure, seconds: f64| assert!((unit.cost(figure) - seconds).abs() < 1e-15, "{unit}");
    close(Unit::SecondsPerToken, 0.061, 0.061);
    close(Unit::MillisecondsPerToken, 61.0, 0.061);
    close(Unit::TokensPerSecond, 8.0, 0.125);
    close(Unit::Seconds, 3.5, 3.5);
    close(Unit::Milliseconds, 3.5, 0.0035);
    assert_eq!(
        ["s/token", "ms/token", "tokens/s", "s", "ms", "GB"],
        Unit::NAMES.map(|(_, unit)| unit.to_string()).each_ref().map(String::as_str)
    );
    assert_eq!(Statistic::Median.to_string(), "median");
}

#[test]
fn the_documented_file_is_a_suite() {
    let text: Vec<&str> =
        include_str!("../mod.rs").lines().filter_map(|l| l.strip_prefix("//!")).map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
    let (from, to) = (text.iter().position(|l| *l == "```toml").unwrap(), text.iter().position(|l| *l == "```").unwrap());
    let mut text = text[from + 1..to].join("\n");
    text += "\n[[model]]\nname = \"bart\"\nshipped = \"bart\"\n";
    text += "[[reported]]\nmodel = \"bart\"\nn-prompt = 512\nthreads = 1\nstrategy = \"greedy\"\nfigure = 0.16\nunit = \"s/token\"\n";
    let suite = parse(&text).unwrap();
    assert_eq!((suite.cases.len(), suite.reported[0].against, suite.protocol.clone()), (2 * 6 * 2 * 2, Some(1), Protocol::default()));
    // the other ways that it shows are right as well
    assert!(parse(&text.replace("path =", "# path =").replace("# shipped", "shipped")).is_ok());
    let sums = text.replace("\"mean\"", "\"sum\"").replace("\"s/token\"", "\"s\"\nof = \"decoder\"");
    assert_eq!(parse(&sums).unwrap().reported[0].quantity, Quantity::Decoder);
}
