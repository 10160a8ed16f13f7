//! What a suite file says, and every way in which it can be wrong: message, line and remedy.

use super::*;
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
    "", // 10
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
    let protocol =
        Protocol { repetitions: 3, warmup: false, drop: 2, statistic: Statistic::Median, delay: std::time::Duration::from_millis(500) };
    assert_eq!(suite.protocol, protocol);
    let led = Model { name: "led".into(), origin: Origin::Directory("suites/../led".into()), random_weights: Some(7), line: 13 };
    let bart = Model { name: "bart".into(), origin: Origin::Shipped("bart-base".into()), random_weights: None, line: 19 };
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
        figure: 0.061,
        unit: Unit::SecondsPerToken,
        quantity: Quantity::Token,
        place: Some("table 8".into()),
        against: Some(1),
        ratio: Some(2.62),
        line: 33,
    };
    let other = Reported {
        case: 4,
        figure: 160.0,
        unit: Unit::MillisecondsPerToken,
        place: None,
        against: None,
        ratio: None,
        line: 43,
        ..row.clone()
    };
    let encoder = Reported { case: 8, figure: 1.5, unit: Unit::Seconds, quantity: Quantity::Encoder, line: 50, ..other.clone() };
    assert_eq!(suite.reported, [row, other, encoder]);
    assert_eq!(suite.model(&suite.cases[4]).name, "bart");
    assert_eq!(suite.error(13, "gone").message(), "x.toml:13: gone");
}

#[test]
fn what_is_left_open_has_the_command_lines_default() {
    let suite = parse(&small("")).unwrap();
    let protocol = Protocol { repetitions: 5, warmup: true, drop: 0, statistic: Statistic::Mean, delay: std::time::Duration::ZERO };
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
fn unknown_keys() {
    refused(&[(23, "n-promt = 512")], 23, "unknown key `n-promt` in `[[case]]`", "did you mean `n-prompt`?");
    refused(&[(24, "n_gen = 512")], 24, "unknown key `n_gen` in `[[case]]`", "did you mean `n-gen`?");
    refused(&[(2, "sourse = \"x\"")], 2, "unknown key `sourse` at the top", "did you mean `source`?");
    refused(&[(21, "[[cases]]")], 21, "unknown key `cases` at the top", "did you mean `case`?");
    refused(&[(39, "here = 1")], 39, "unknown key `here` in `[[reported]]`", "did you mean `where`?");
    refused(&[(31, "drop = 2")], 31, "unknown key `drop` in `[[case]]`", "`drop` stands in `[protocol]`");
    refused(&[(9, "source = \"x\"")], 9, "unknown key `source` in `[protocol]`", "`source` stands at the top");
    refused(&[(9, "threads = 2")], 9, "unknown key `threads` in `[protocol]`", "`threads` stands in `[[case]]` and in `[[reported]]`");
    let known = "known in `[protocol]` are `repetitions`, `warmup`, `drop`, `statistic`, `delay`";
    refused(&[(9, "colour = 2")], 9, "unknown key `colour` in `[protocol]`", known);
    // the first in the file, not in the alphabet
    refused(&[(5, "zebra = 1"), (6, "aardvark = 1")], 5, "unknown key `zebra` in `[protocol]`", known);
    refused(&[(9, "\"a\\nb\" = 2")], 9, "unknown key `a\\nb` in `[protocol]`", known);
}

#[test]
fn missing_keys() {
    refused(&[(1, "")], 1, "`summary` is missing at the top", "for instance `summary = \"LED against BART, 512 to 16,384 tokens\"`");
    refused(&[(12, "")], 11, "`name` is missing in `[[model]]`", "for instance `name = \"led\"`");
    refused(&[(29, "")], 27, "`n-prompt` is missing in `[[case]]`", "for instance `n-prompt = \"512-16384*2\"`");
    refused(&[(24, "")], 21, "`n-gen` is missing in `[[case]]`", "for instance `n-gen = 64`");
    refused(&[(44, "")], 43, "`model` is missing in `[[reported]]`", "for instance `model = \"led\"`");
    refused(&[(47, "")], 43, "`figure` is missing in `[[reported]]`", "for instance `figure = 0.061`");
    refused(&[(48, "")], 43, "`unit` is missing in `[[reported]]`", "for instance `unit = \"s/token\"`");
    refuses("summary = \"s\"", 1, "the suite has no `[[model]]`", "add `[[model]]` with `name` and `path` or `shipped`");
    refuses("summary = \"s\"\nmodel = []", 1, "the suite has no `[[model]]`", "add `[[model]]` with `name` and `path` or `shipped`");
    let model = "summary = \"s\"\n[[model]]\nname = \"m\"\npath = \"m\"";
    refuses(model, 1, "the suite has no `[[case]]`", "add `[[case]]` with `n-prompt` and `n-gen`");
    for empty in ["", "\n", " \r\n\t", "\u{feff}"] {
        refuses(empty, 1, "the file is empty", "a suite has `summary`, `[[model]]` and `[[case]]`");
    }
}

#[test]
fn wrong_types() {
    let number = "`n-gen` is a boolean, not a number, an array of numbers or a string such as `1024-16384*2`";
    refused(&[(24, "n-gen = true")], 24, number, "for instance `n-gen = 64`");
    refused(&[(24, "n-gen = 6.4")], 24, &number.replace("a boolean", "a fraction"), "for instance `n-gen = 64`");
    refused(&[(24, "n-gen = [64, \"8\"]")], 24, "`n-gen` is a string, not a whole number", "for instance `n-gen = 64`");
    refused(
        &[(1, "summary = 1")],
        1,
        "`summary` is a whole number, not a string",
        "for instance `summary = \"LED against BART, 512 to 16,384 tokens\"`",
    );
    refused(&[(5, "repetitions = \"3\"")], 5, "`repetitions` is a string, not a whole number", "for instance `repetitions = 5`");
    refused(&[(6, "warmup = \"no\"")], 6, "`warmup` is a string, not a boolean", "for instance `warmup = true`");
    refused(&[(9, "delay = 2026-01-01")], 9, "`delay` is a date or time, not a number", "for instance `delay = 0.5`");
    refused(&[(15, "seed = [1]")], 15, "`seed` is an array, not a whole number", "for instance `seed = 0`");
    refused(&[(28, "models = {}")], 28, "`models` is a table, not a string", "for instance `models = [\"led\", \"bart\"]`");
    refused(
        &[(28, "models = [\n\"led\",\n1]")],
        30,
        "`models` is a whole number, not a string",
        "for instance `models = [\"led\", \"bart\"]`",
    );
    refused(&[(35, "n-prompt = [512]")], 35, "`n-prompt` is an array, not a whole number", "for instance `n-prompt = 512`");
    refused(&[(37, "figure = \"1\"")], 37, "`figure` is a string, not a number", "for instance `figure = 0.061`");
    refused(&[(4, "[[protocol]]")], 4, "`protocol` is an array, not a table", "write `[protocol]`, once");
    let one = "summary = \"s\"\n[model]\nname = \"m\"\npath = \"m\"";
    refuses(one, 2, "`model` is a table, not an array of tables", "write `[[model]]`, once for each");
    refuses("summary = \"s\"\nmodel = [1]", 2, "`model` holds a whole number, not tables", "write `[[model]]`");
    refuses("summary = \"s\"\nmodel = 1", 2, "`model` is a whole number, not an array of tables", "write `[[model]]`, once for each");
}

#[test]
fn values_out_of_range() {
    refused(&[(5, "repetitions = 0")], 5, "`repetitions` must be at least 1", "for instance `repetitions = 5`");
    refused(&[(7, "drop = -1")], 7, "`drop` is negative", "for instance `drop = 2`");
    refused(&[(7, "drop = 99999999999999999999")], 7, "`drop` is too large", "for instance `drop = 2`");
    for delay in ["-0.1", "3600.5", "1e300"] {
        let hint = "for instance `delay = 0.5`";
        refused(&[(9, &format!("delay = {delay}"))], 9, "`delay` must be from 0 to 3,600 seconds", hint);
    }
    refused(&[(9, "delay = nan")], 9, "`delay` is not finite", "for instance `delay = 0.5`");
    refused(&[(8, "statistic = \"avg\"")], 8, "`statistic` cannot be `avg`", "it is one of `mean`, `median`, `min`, `sum`");
    refused(&[(38, "unit = \"s/tok\"")], 38, "`unit` cannot be `s/tok`", "it is one of `s/token`, `ms/token`, `tokens/s`, `s`, `ms`");
    refused(&[(39, "of = \"both\"")], 39, "`of` cannot be `both`", "it is one of `encoder`, `decoder`");
    refused(&[(26, "dtype = [\"auto\", \"f64\"]")], 26, "`dtype` cannot be `f64`", "it is one of `auto`, `f32`");
    let strategies = "it is `greedy`, `sample` or `beam` with the number of beams, such as `beam4`";
    refused(&[(31, "strategy = \"greedy,beam4\"")], 31, "`strategy` cannot be `greedy,beam4`", strategies);
    refused(&[(31, "strategy = \"beam1\"")], 31, "`strategy` cannot be `beam1`", "one beam is `greedy`");
    for (line, key) in [(25, "threads"), (26, "batch-size")] {
        let error = parse(&edited(&[(line, &format!("{key} = \"0-4\""))])).unwrap_err();
        assert_eq!(error.message(), format!("x.toml:{line}: `{key}` must be at least 1"));
    }
    for figure in ["0", "0.0", "-1", "-0.5"] {
        refused(&[(37, &format!("figure = {figure}"))], 37, "`figure` must be above 0", "for instance `figure = 0.061`");
    }
    refused(&[(37, "figure = inf")], 37, "`figure` is not finite", "for instance `figure = 0.061`");
    refused(&[(41, "ratio = 0")], 41, "`ratio` must be above 0", "for instance `ratio = 2.62`");
    let summary = "for instance `summary = \"LED against BART, 512 to 16,384 tokens\"`";
    refused(&[(1, "summary = \" \"")], 1, "`summary` is empty", summary);
    refused(&[(1, "summary = \"a\\nb\"")], 1, "`summary` is more than one line", summary);
    refused(&[(12, "name = \"a\\u001b[1m\"")], 12, "`name` holds the control character U+001B", "for instance `name = \"led\"`");
}

#[test]
fn lists_that_are_none() {
    let hint = "lists and ranges are written `1024,4096`, `1024-16384*2` (times 2), `1-8+1` (plus 1)";
    refused(&[(23, "n-prompt = \"512-2048*1\"")], 23, "`n-prompt`: the step of `512-2048*1` leads nowhere", hint);
    refused(&[(24, "n-gen = \"64-8\"")], 24, "`n-gen`: the range `64-8` runs backwards", hint);
    refused(&[(24, "n-gen = \"\"")], 24, "`n-gen`: the list is empty", hint);
    refused(&[(24, "n-gen = \"many\"")], 24, "`n-gen`: `many` is neither a number nor a range", hint);
    refused(&[(24, "n-gen = [8, -8]")], 24, "`n-gen` is negative", "for instance `n-gen = 64`");
    refused(&[(24, "n-gen = []")], 24, "`n-gen` is empty", "for instance `n-gen = 64`");
    refused(&[(25, "threads = [1, 2, 1]")], 25, "`threads` lists 1 twice", "leave one out");
    let long = format!("n-gen = {:?}", (0..1001).collect::<Vec<_>>());
    refused(&[(24, &long)], 24, "`n-gen` lists more than 1,000 numbers", "make two cases");
}

#[test]
fn models_that_contradict_themselves_or_others() {
    let keep = "keep `path` for a directory, `shipped` for what is part of the program";
    refused(&[(14, "shipped = \"led\"")], 14, "model `led` has `path` and `shipped`", keep);
    let neither = "name a directory with `path`, or with `shipped` what is part of the program";
    refused(&[(13, "")], 11, "model `led` has neither `path` nor `shipped`", neither);
    let seed = "the seed is that of random weights: add them, or leave it out";
    refused(&[(14, "")], 15, "model `led` has a `seed` without `random-weights = true`", seed);
    refused(&[(14, "random-weights = false")], 15, "model `led` has a `seed` without `random-weights = true`", seed);
    refused(&[(18, "name = \"led\"")], 18, "a second model is called `led`", "line 12 names the first: give each a name of its own");
    let unused = "name it in the `models` of a `[[case]]`, or leave it out";
    refused(&[(22, "models = [\"led\"]")], 17, "no case uses model `bart`", unused);
}

#[test]
fn cases_that_name_no_model_or_are_there_twice() {
    refused(&[(28, "models = []")], 28, "`models` is empty", "for instance `models = [\"led\", \"bart\"]`");
    refused(&[(22, "models = [\"led\",\n\"brat\"]")], 23, "no model is called `brat`", "did you mean `bart`?");
    refused(&[(28, "models = \"gpt-2\"")], 28, "no model is called `gpt-2`", "the models of this suite are `led`, `bart`");
    refused(&[(28, "models = [\"led\", \"led\"]")], 28, "`models` lists `led` twice", "leave one out");
    refused(&[(31, "strategy = [\"sample\", \"sample\"]")], 31, "`strategy` lists `sample` twice", "leave one out");
    let case = "n-prompt 2048, n-gen 64, n-depth 0, batch-size 1, threads 2, dtype auto, strategy greedy";
    let twice = format!("a case of model `led` is listed twice: {case}");
    let edits = [(29, "n-prompt = \"2048,8192\""), (30, "n-gen = 64"), (31, "threads = 2")];
    refused(&edits, 27, &twice, "the `[[case]]` of line 21 has it already");
    let both = "a case with `n-prompt` 0 and `n-gen` 0 runs nothing";
    refused(&[(29, "n-prompt = [0, 8]")], 30, both, "leave 0 out of one of them");
    assert!(parse(&small("").replace("n-prompt = 8", "n-prompt = 0")).is_ok());
    assert!(parse(&small("").replace("n-gen = 8", "n-gen = 0")).is_ok());
    assert_eq!(parse(&small("n-depth = \"0-99\"\nbatch-size = \"1-100\"")).unwrap().cases.len(), 10_000);
    let many = "a `[[case]]` is the product of its lists: shorten them";
    let one_more = small("n-depth = \"0-99\"\nbatch-size = \"1-100\"\n[[case]]\nn-prompt = 9\nn-gen = 8");
    refuses(&one_more, 10, "the suite has more than 10,000 cases", many);
    refuses(&small("n-depth = \"0-100\"\nbatch-size = \"1-100\""), 5, "the suite has more than 10,000 cases", many);
    let huge = ["n-depth", "batch-size", "threads"].map(|k| format!("{k} = \"1-1000\"\n")).concat();
    refuses(&small(&huge).replace("= 8", "= \"1-1000\""), 5, "the suite has more than 10,000 cases", many);
}

#[test]
fn dropping_leaves_a_token_time() {
    let leaves = |n, drop| format!("`n-gen` {n} leaves no token time: the first is the time to first token, and `drop` takes {drop} more");
    assert!(parse(&edited(&[(24, "n-gen = 4")])).is_ok());
    refused(&[(24, "n-gen = [4, 3]")], 24, &leaves(3, 2), "generate at least 4 tokens, or drop fewer");
    refused(&[(7, "drop = 63")], 24, &leaves(64, 63), "generate at least 65 tokens, or drop fewer");
    refused(
        &[(7, "drop = 18446744073709551615")],
        24,
        &leaves(64, usize::MAX),
        &format!("generate at least {} tokens, or drop fewer", usize::MAX),
    );
    assert!(parse(&edited(&[(7, "drop = 62")])).is_ok());
    refuses(
        &(small("").replace("n-gen = 8", "n-gen = 1") + "[protocol]\ndrop = 1"),
        7,
        &leaves(1, 1),
        "generate at least 3 tokens, or drop fewer",
    );
    assert!(parse(&small("").replace("n-gen = 8", "n-gen = 1")).is_ok());
}

#[test]
fn rows_that_fit_no_case_or_several() {
    refused(&[(34, "model = \"bort\"")], 34, "no model is called `bort`", "did you mean `bart`?");
    refused(&[(35, "n-prompt = 513")], 33, "no case of model `led` has n-prompt 513, threads 1", "there `n-prompt` is `512`, `2048`");
    refused(&[(36, "threads = 4")], 33, "no case of model `led` has n-prompt 512, threads 4", "there `threads` is `1`, `2`");
    let first = "its first case has n-prompt 512, n-gen 64, n-depth 0, batch-size 1, threads 1, dtype auto, strategy greedy";
    refused(&[(35, "n-prompt = 513"), (36, "threads = 4")], 33, "no case of model `led` has n-prompt 513, threads 4", first);
    refused(
        &[(52, "n-prompt = 4096\nthreads = 1")],
        50,
        "no case of model `led` has n-prompt 4096, threads 1",
        "there `n-prompt` is `512`, `2048`",
    );
    refused(
        &[(52, "n-prompt = 4096\nstrategy = \"greedy\"")],
        50,
        "no case of model `led` has n-prompt 4096, strategy greedy",
        "there `n-prompt` is `512`, `2048`",
    );
    refused(&[(36, "")], 33, "the row fits 2 cases of model `led`", "say which one with `threads`");
    refused(&[(36, ""), (35, "n-gen = 64")], 33, "the row fits 4 cases of model `led`", "say which one with `n-prompt`, `threads`");
    refused(&[(52, "")], 50, "the row fits 5 cases of model `led`", "say which one with `n-prompt`, `n-gen`, `threads`, `strategy`");
    refused(
        &[(36, "threads = 1\ndtype = \"f32\"")],
        33,
        "no case of model `led` has n-prompt 512, threads 1, dtype f32",
        "there `dtype` is `auto`",
    );
    refused(
        &[(44, "model = \"led\""), (40, ""), (41, "")],
        43,
        "a second row gives the same of the same case",
        "line 33 has the first: keep one",
    );
}

#[test]
fn rows_that_are_compared() {
    let itself = "name the model it is compared with, or leave it out";
    refused(&[(40, "against = \"led\"")], 40, "a row of model `led` is `against` itself", itself);
    refused(&[(40, "against = \"x\"")], 40, "no model is called `x`", "the models of this suite are `led`, `bart`");
    refused(&[(40, "")], 41, "`ratio` without `against`", "name the model that the ratio is relative to with `against`");
    let case = "n-prompt 512, n-gen 64, n-depth 0, batch-size 1, threads 1, dtype auto, strategy greedy";
    let missing = "no row gives the figure of model `bart` for this case";
    let hint = format!("add a `[[reported]]` of `bart` with {case}, in a unit of the same kind");
    refused(&[(45, "n-prompt = 2048")], 40, missing, &hint);
    refused(&[(48, "unit = \"ms\"")], 40, missing, &hint);
    let none = "n-prompt 4096, n-gen 0, n-depth 0, batch-size 1, threads the default, dtype auto, strategy beam4";
    let add = format!("add a `[[case]]` of `bart` with {none}");
    refused(&[(54, "unit = \"s\"\nagainst = \"bart\"")], 55, "model `bart` has no such case to compare with", &add);
    // rows may stand in any order
    let turned = [(40, ""), (41, ""), (49, "against = \"led\"")];
    let suite = parse(&edited(&turned)).unwrap();
    assert_eq!(suite.reported.iter().map(|r| r.against).collect::<Vec<_>>(), [None, Some(0), None]);
    let rows = |n| small(&"[[reported]]\nmodel = \"m\"\nfigure = 1\nunit = \"s\"\n".repeat(n));
    refuses(&rows(1000), 12, "a second row gives the same of the same case", "line 8 has the first: keep one");
    refuses(&rows(1001), 4008, "the suite has more than 1,000 rows of `[[reported]]`", "make two suites");
}

#[test]
fn units_fit_the_case_and_the_statistic() {
    let two = "the first token is the time to first token: a case needs two for a token time";
    refused(&[(54, "unit = \"tokens/s\"")], 54, "a figure of token times, and its case has `n-gen` 0", two);
    let one = [(7, ""), (30, "n-gen = 1"), (54, "unit = \"ms/token\"")];
    refused(&one, 54, "a figure of token times, and its case has `n-gen` 1", two);
    let nothing = "a figure of the encoder, and its case has `n-prompt` 0";
    refused(&[(29, "n-prompt = 0"), (30, "n-gen = 9"), (52, "n-prompt = 0")], 54, nothing, "give a case something to encode");
    refused(&[(39, "of = \"encoder\"")], 39, "the encoder has no figure in `s/token`", "`unit` is `s` or `ms`, or leave `of` out");
    let decoder = [(38, "unit = \"ms\"\nof = \"decoder\"")];
    let sum = "`statistic = \"sum\"` in `[protocol]`, or a `unit` of a token such as `s/token`";
    refused(&decoder, 39, "`ms` of the decoder is a sum, and the protocol's `statistic` is `median`", sum);
    let token = "`unit = \"s\"` with `of = \"decoder\"` is a sum of token times";
    refused(&[(8, "statistic = \"sum\"")], 38, "`s/token` is of one token, and the protocol's `statistic` is `sum`", token);
    let sums = [(8, "statistic = \"sum\""), decoder[0], (48, "unit = \"s\"\nof = \"decoder\"")];
    let quantities: Vec<Quantity> = parse(&edited(&sums)).unwrap().reported.iter().map(|r| r.quantity).collect();
    assert_eq!(quantities, [Quantity::Decoder, Quantity::Decoder, Quantity::Encoder]);
    let both = [(49, "[[reported]]\nmodel = \"led\"\nn-prompt = 512\nthreads = 1\nfigure = 2\nunit = \"s\"")];
    assert_eq!(parse(&edited(&both)).unwrap().reported[2].case, 0, "one case may have a figure of its encoder and one of its tokens");
}

#[test]
fn units_in_seconds() {
    let close = |unit: Unit, figure, seconds: f64| assert!((unit.seconds(figure) - seconds).abs() < 1e-15, "{unit}");
    close(Unit::SecondsPerToken, 0.061, 0.061);
    close(Unit::MillisecondsPerToken, 61.0, 0.061);
    close(Unit::TokensPerSecond, 8.0, 0.125);
    close(Unit::Seconds, 3.5, 3.5);
    close(Unit::Milliseconds, 3.5, 0.0035);
    assert_eq!(
        ["s/token", "ms/token", "tokens/s", "s", "ms"],
        Unit::NAMES.map(|(_, unit)| unit.to_string()).each_ref().map(String::as_str)
    );
    assert_eq!(Statistic::Median.to_string(), "median");
}

#[test]
fn what_is_not_toml() {
    let at = |edits: &[(usize, &str)], line: usize, hint: &str| {
        let error = parse(&edited(edits)).unwrap_err();
        assert!(error.message().starts_with(&format!("x.toml:{line}: not TOML: ")), "{error}");
        assert!(!error.message().contains('\n'));
        assert_eq!(error.remedy(), Some(hint), "{error}");
    };
    let quotes = "text and ranges stand in quotes, lists in brackets: `n-prompt = \"512-16384*2\"`, `models = [\"led\", \"bart\"]`";
    at(&[(23, "n-prompt = 512-2048*2")], 23, quotes);
    at(&[(28, "models = led")], 28, quotes);
    at(&[(39, "where = \"\\q\"")], 39, quotes);
    at(&[(24, "n-gen =")], 24, quotes);
    at(&[(24, "n-gen = 64\r# a carriage return alone")], 24, quotes);
    let line = "a line is `key = value`, `[table]` or `[[table]]`";
    at(&[(1, "summary")], 1, line);
    at(&[(1, "summary: LED")], 1, line);
    at(&[(3, "\0")], 3, line);
    let half = "each quote and bracket needs its other half";
    at(&[(11, "[[model]")], 11, half);
    at(&[(1, "summary = \"open")], 1, half);
    at(&[(1, "summary = 'open")], 1, half);
    let once = "a table has a key once; one more model or case begins with `[[model]]` or `[[case]]`";
    refused(&[(30, "n-prompt = 1")], 30, "not TOML: duplicate key", once);
    refused(&[(16, "[protocol]")], 16, "not TOML: duplicate key", once);
}

#[test]
fn the_documented_file_is_a_suite() {
    let text: Vec<&str> =
        include_str!("mod.rs").lines().filter_map(|l| l.strip_prefix("//!")).map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
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
