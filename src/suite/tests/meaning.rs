//! Lines that do not fit together: models, cases, rows; each with message, line and remedy.

use super::*;

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

/// A paper that has ratios alone: what they are relative to has 1.
#[test]
fn rows_without_a_figure() {
    let alone = [(37, ""), (47, "ratio = 1")];
    let suite = parse(&edited(&alone)).unwrap();
    assert_eq!(
        suite.reported.iter().map(|r| (r.figure, r.ratio)).collect::<Vec<_>>(),
        [(None, Some(2.62)), (None, Some(1.0)), (Some(1.5), None)]
    );
    assert_eq!(suite.reported[0].against, Some(1));
    let hint = "name the model that the ratio is relative to with `against`";
    refused(&[(37, ""), (47, "ratio = 2")], 47, "`ratio` without `against`", hint);
    refused(&[(47, "figure = 160\nratio = 1")], 48, "`ratio` without `against`", hint);
}

/// Memory, and a prompt until its first token.
#[test]
fn figures_of_prompts_and_memory() {
    let quantity = |row: &str| parse(&edited(&[(54, row)])).map(|suite| suite.reported[2].quantity);
    assert_eq!(quantity("unit = \"GB\"").unwrap(), Quantity::Memory);
    assert_eq!(quantity("unit = \"ms\"\nof = \"prompt\"").unwrap(), Quantity::Prompt);
    refused(&[(54, "unit = \"GB\"\nof = \"encoder\"")], 55, "`GB` is of the whole process", "leave `of` out");
    refused(
        &[(54, "unit = \"s/token\"\nof = \"prompt\"")],
        55,
        "a prompt has no figure in `s/token`",
        "`unit` is `s` or `ms`, or leave `of` out",
    );
    let writes = "a figure of a prompt, and its case writes tokens or has no prompt";
    refused(&[(38, "unit = \"ms\"\nof = \"prompt\"")], 38, writes, "give it a case with `n-prompt` above 0 and `n-gen = 0`");
}

/// Other keys of a configuration whose weights are made up.
#[test]
fn keys_that_a_model_has_instead() {
    let set = "set = { d_ff = 4096, mixer = { name = \"linformer\", k = 0x80 }, list = [1, 2.5, true] }";
    let suite = parse(&edited(&[(16, set)])).unwrap();
    let want = serde_json::json!({"d_ff": 4096, "mixer": {"name": "linformer", "k": 128}, "list": [1, 2.5, true]});
    assert_eq!(suite.models[0].set, Some(want));
    refused(&[(16, "set = 3")], 16, "`set` is a whole number, not a table of keys of config.json", "for instance `set = { d_ff = 4096 }`");
    let dates = "`set` is a table, not keys and values of config.json, which has no dates";
    refused(&[(16, "set = { day = 2021-01-01 }")], 16, dates, "for instance `set = { d_ff = 4096 }`");
    let weights = "a checkpoint's weights fit its own config.json: add them, or leave it out";
    refused(&[(19, "shipped = \"x\"\nset = { d_ff = 1 }")], 20, "model `bart` has a `set` without `random-weights = true`", weights);
}

/// Another attention on the same weights, and how far its logits are from an earlier model's.
#[test]
fn attention_and_distance() {
    let suite = parse(&edited(&[(16, "attention = \"window=64\""), (20, "distance-from = \"led\"")])).unwrap();
    assert_eq!((suite.models[0].attention, suite.models[0].distance_from), (Choice::Window(64), None));
    assert_eq!((suite.models[1].attention, suite.models[1].distance_from), (Choice::Auto, Some(0)));
    let spelling = "`attention` is not `auto`, `full`, `sparse`, `window=N`, `block=N`, `paper` or `paper=SEED`";
    refused(&[(16, "attention = \"dense\"")], 16, spelling, "for instance `attention = \"full\"`");
    refused(&[(16, "distance-from = \"bart\"")], 16, "`distance-from` stands in the first model", "it names a model before this one");
    refused(&[(20, "distance-from = \"bert\"")], 20, "no model is called `bert`", "the models of this suite are `led`");
    refused(&[(20, "distance-from = \"bart\"")], 20, "no model is called `bart`", "the models of this suite are `led`");
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
