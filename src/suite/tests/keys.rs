//! Mistakes that one line shows: keys, types, values, syntax; each with message, line and remedy.

use super::*;

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
    let known = "known in `[protocol]` are `repetitions`, `warmup`, `drop`, `statistic`, `delay`, `take-turns`";
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
    refused(&[(10, "take-turns = \"one\"")], 10, "`take-turns` is a string, not a boolean", "for instance `take-turns = true`");
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
    refused(&[(38, "unit = \"s/tok\"")], 38, "`unit` cannot be `s/tok`", "it is one of `s/token`, `ms/token`, `tokens/s`, `s`, `ms`, `GB`");
    refused(&[(39, "of = \"both\"")], 39, "`of` cannot be `both`", "it is one of `encoder`, `decoder`, `prompt`");
    refused(&[(26, "dtype = [\"auto\", \"f64\"]")], 26, "`dtype` cannot be `f64`", "it is one of `auto`, `f32`, `bf16`, `int8`");
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
