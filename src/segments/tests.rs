use super::*;
use crate::error::Error;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

/// A directory of small files.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| dir.write(name, text.as_bytes()));
        dir
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> String {
        if name == "-" { name.to_owned() } else { self.0.path().join(name).to_string_lossy().into_owned() }
    }

    fn paths(&self, names: &str) -> Vec<String> {
        names.split_whitespace().map(|n| self.path(n)).collect()
    }

    /// `score REFERENCES -i SYSTEMS --source SOURCE`, where nothing is an empty name.
    fn load(&self, references: &str, systems: &str, source: &str, options: &Options) -> Result<Corpus> {
        let source = self.paths(source).pop();
        load(&Request { references: self.paths(references), systems: self.paths(systems), source, ..Request::default() }, options)
    }

    fn score(&self, references: &str, systems: &str) -> Result<Corpus> {
        self.load(references, systems, "", &Options::default())
    }

    /// Message and hint of an error, without the directory.
    fn told(&self, outcome: Result<Corpus>) -> (String, String, u8) {
        let e: Error = outcome.unwrap_err();
        let short = |s: &str| s.replace(&format!("{}/", self.0.path().display()), "");
        (short(e.message()), short(e.remedy().unwrap_or("")), e.exit_code())
    }

    #[track_caller]
    fn fails(&self, outcome: Result<Corpus>, message: &str, hint: &str) {
        assert_eq!(self.told(outcome), (message.to_owned(), hint.to_owned(), 1));
    }

    #[track_caller]
    fn misused(&self, outcome: Result<Corpus>, message: &str, hint: &str) {
        assert_eq!(self.told(outcome), (message.to_owned(), hint.to_owned(), 2));
    }
}

fn texts(texts: &Texts) -> Vec<&str> {
    texts.iter().collect()
}

fn references(corpus: &Corpus) -> Vec<Vec<&str>> {
    let of = |segment| {
        let mut out = Vec::new();
        corpus.references.segment(segment, &mut out);
        out
    };
    (0..corpus.segments).map(of).collect()
}

fn column(reference: Option<&str>, hypothesis: Option<&str>, source: Option<&str>) -> Options {
    let name = |c: Option<&str>| c.map(str::to_owned);
    Options { ref_column: name(reference), hyp_column: name(hypothesis), source_column: name(source), ..Options::default() }
}

/// What threads share.
#[test]
fn a_corpus_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Corpus>();
}

#[test]
fn lines_of_several_references_and_systems() {
    let dir = Dir::new(&[("r1", "a \r\n\nc"), ("r2", "\u{feff}x\ny\nz\n"), ("h1", "1\n2\n3\n"), ("h2", "\n\n\n"), ("s", "p\nq\nr\n")]);
    let got = dir.load("r1 r2", "h1 h2", "s", &Options::default()).unwrap();
    assert_eq!((got.segments, got.references.count(), got.ids.clone()), (3, Some(2), None));
    assert_eq!(references(&got), [["a", "x"], ["", "y"], ["c", "z"]]);
    assert_eq!(got.systems.iter().map(|s| s.name.clone()).collect::<Vec<_>>(), dir.paths("h1 h2"));
    assert_eq!((texts(&got.systems[0].texts), texts(&got.systems[1].texts)), (vec!["1", "2", "3"], vec![""; 3]));
    assert_eq!(texts(got.sources.as_ref().unwrap()), ["p", "q", "r"]);
}

#[test]
fn records_keep_their_texts_and_are_joined_by_id() {
    let dir = Dir::new(&[
        ("a.jsonl", "{\"id\":\"y\",\"summary_text\":\"one\\n two \\n\"}\n\n{\"id\":7,\"summary_text\":\"\"}\n"),
        ("r.csv", "id,document,summary\r\n7,\"d, 7\",seven\r\n\r\ny,dy,\"why\nnot\"\r\n"),
        ("q.ndjson", "{\"id\":\"7\",\"references\":[\"s\",\"t\"]}\r\n{\"id\":\"y\",\"references\":\"u\"}"),
        ("b.tsv", "prediction\tid\np\t7\nq\ty\n"),
    ]);
    let got = dir.load("r.csv q.ndjson", "a.jsonl b.tsv", "", &column(None, None, Some("document"))).unwrap_err();
    assert_eq!(got.message().split(": ").nth(1), Some("no column `document`"));
    let got = dir.load("r.csv q.ndjson", "a.jsonl b.tsv", "r.csv", &Options::default()).unwrap();
    assert_eq!(got.ids, Some(vec![json!("y"), json!(7)]));
    assert_eq!(texts(&got.systems[0].texts), ["one\n two \n", ""]);
    assert_eq!(texts(&got.systems[1].texts), ["q", "p"]);
    assert_eq!(references(&got), [vec!["why\nnot", "u"], vec!["seven", "s", "t"]]);
    assert_eq!(got.references.count(), None);
    assert_eq!(texts(got.sources.as_ref().unwrap()), ["dy", "d, 7"]);
}

#[test]
fn references_and_sources_beside_the_hypotheses() {
    let out = "{\"id\":1,\"summary_text\":\"h\",\"summary\":[\"r\",\"s\"],\"text\":\"d\",\"gold\":\"g\"}\n";
    let dir = Dir::new(&[("o.jsonl", out), ("h", "x\n"), ("r.jsonl", out)]);
    let got = dir.load("", "o.jsonl", "", &column(None, None, Some("text"))).unwrap();
    assert_eq!((references(&got), got.references.count(), got.ids.clone()), (vec![vec!["r", "s"]], Some(2), Some(vec![json!(1)])));
    assert_eq!(texts(&got.sources.unwrap()), ["d"]);
    let got = dir.load("", "o.jsonl h", "", &column(Some("gold"), Some("text"), None)).unwrap();
    assert_eq!((references(&got), texts(&got.systems[0].texts), texts(&got.systems[1].texts)), (vec![vec!["g"]], vec!["d"], vec!["x"]));
    // the hypotheses are plain: the source is a column of the references
    let got = dir.load("r.jsonl", "h", "", &column(None, None, Some("text"))).unwrap();
    assert_eq!((texts(&got.sources.unwrap()), got.ids), (vec!["d"], Some(vec![json!(1)])));
}

#[test]
fn texts_without_references_and_references_without_texts() {
    let dir = Dir::new(&[("t", " a\n\nb \r\n"), ("o.jsonl", "{\"summary_text\":\"h\",\"summary\":\"r\"}"), ("blank", " \n\n")]);
    let request = |references: &str, systems: &str| Request {
        references: dir.paths(references),
        systems: dir.paths(systems),
        references_optional: true,
        whole_files: true,
        ..Request::default()
    };
    let got = load(&request("", "t o.jsonl"), &Options::default()).unwrap();
    assert_eq!((got.references.count(), references(&got), got.segments), (Some(0), vec![vec![""; 0]], 1));
    assert_eq!((texts(&got.systems[0].texts), texts(&got.systems[1].texts)), (vec![" a\n\nb \r\n"], vec!["h"]));
    assert_eq!(references(&load(&request("t", ""), &Options::default()).unwrap()), [[" a\n\nb \r\n"]]);
    assert_eq!(references(&load(&request("", "o.jsonl"), &column(Some("summary"), None, None)).unwrap()), [["r"]]);
    dir.fails(load(&request("", "blank"), &Options::default()), "`blank` is empty", "each file needs at least one segment");
    dir.write("o.jsonl", b"{\"output\":\"1\"}\n{\"output\":\"2\"}");
    dir.fails(
        load(&request("", "t o.jsonl"), &Options::default()),
        "`t` has 1 segment, `o.jsonl` 2",
        "plain text is one segment a file for this model: put several into JSONL",
    );
    let nothing = Request { references_optional: true, ..Request::default() };
    dir.misused(load(&nothing, &Options::default()), "there is nothing to score", "name a file of texts");
}

#[test]
fn the_format_may_be_said() {
    let dir = Dir::new(&[("h.txt", "{\"output\":\"h\"}"), ("r.jsonl", "{\"target\":\"r\"}")]);
    let got = dir.load("r.jsonl", "h.txt", "", &Options { format: Format::Jsonl, ..Options::default() }).unwrap();
    assert_eq!((texts(&got.systems[0].texts), references(&got)), (vec!["h"], vec![vec!["r"]]));
    let got = dir.load("r.jsonl", "h.txt", "", &Options { format: Format::Text, ..Options::default() }).unwrap();
    assert_eq!(references(&got), [["{\"target\":\"r\"}"]]);
}

#[test]
fn names_that_do_not_go_together() {
    let dir = Dir::new(&[("h", "x\n"), ("r", "x\n"), ("r.jsonl", "{\"reference\":\"x\"}"), ("o.csv", "output\nx\n")]);
    let once = "standard input can be read only once";
    dir.misused(dir.score("-", "-"), once, "give `-` once");
    dir.misused(dir.load("r", "-", "-", &Options::default()), once, "give `-` once");
    dir.misused(dir.score("r", "h h"), "`h` is already used to name a system", "give each system once");
    let hint = "name their file first, `effattn score REFERENCE -i HYPOTHESIS`; the first hypothesis file can hold them only as a column of its records";
    dir.misused(dir.score("", "h"), "there are no references", hint);
    dir.misused(dir.score("", ""), "there are no references", hint);
    let drop = |option: &str| format!("drop `{option}`, or say what the files hold with `--input-format jsonl|csv|tsv`");
    for (options, message, option) in [
        (column(Some("x"), None, None), "`--ref-column` names a column, but `r` is plain text", "--ref-column"),
        (column(None, Some("x"), None), "`--hyp-column` names a column, but `h` is plain text", "--hyp-column"),
        (column(None, None, Some("x")), "`--source-column` names a column, but no file of records can hold a source", "--source-column"),
    ] {
        dir.misused(dir.load("r", "h", "", &options), message, &drop(option));
    }
    let message = "`--source-column` names a column, but `h` is plain text";
    dir.misused(dir.load("r", "o.csv", "h", &column(None, None, Some("x"))), message, &drop("--source-column"));
    // one file of records is enough
    dir.load("r r.jsonl", "h o.csv", "", &column(Some("reference"), Some("output"), None)).unwrap();
}

#[test]
fn files_that_cannot_be_read() {
    let dir = Dir::new(&[("r", "x\n"), ("none", ""), ("mark", "\u{feff}"), ("blank.jsonl", "\n \n"), ("head.csv", "id,output\n")]);
    let hint = "check the path; `-` reads standard input";
    dir.fails(dir.score("r", "no/such"), "cannot read `no/such`: no such file or directory", hint);
    std::fs::create_dir(dir.0.path().join("d")).unwrap();
    dir.fails(dir.score("d", "r"), "`d` is a directory", "name the files in it, for instance `d/*.txt`");
    let hint = "each file needs at least one segment";
    for (name, message) in [
        ("none", "`none` is empty"),
        ("mark", "`mark` is empty"),
        ("blank.jsonl", "`blank.jsonl` has no records"),
        ("head.csv", "`head.csv` has no records"),
    ] {
        dir.fails(dir.score("r", name), message, hint);
    }
    dir.write("bad", b"a\nb\xe9\n");
    let hint = "convert it first, for instance `iconv -f latin1 -t utf-8 FILE`";
    dir.fails(dir.score("r", "bad"), "`bad:2`: invalid UTF-8 (byte 0xe9 at offset 1 of the line)", hint);
    dir.write("bad.csv", b"output\n\"a\nb\xe9\"\n");
    dir.fails(dir.score("r", "bad.csv"), "`bad.csv:3`: invalid UTF-8 (byte 0xe9 at offset 1 of the line)", hint);
    dir.write("h.gz", b"\x1f\x8b\x08\x00");
    dir.fails(dir.score("r", "h.gz"), "`h.gz` is compressed", "unpack it first: `gunzip h.gz`");
}

#[test]
fn records_that_are_none() {
    let dir = Dir::new(&[("r", "x\n")]);
    let told = |text: &str, message: &str, hint: &str| {
        dir.write("o.jsonl", text.as_bytes());
        dir.fails(dir.score("r", "o.jsonl"), message, hint);
    };
    let object = "each line is one object, for instance {\"id\": \"a\", \"summary_text\": \"…\"}";
    told("\n{\"output\":", "`o.jsonl:2`: no valid JSON (column 10: EOF while parsing a value)", object);
    told("{\"output\":\"a\"}\n[]", "`o.jsonl:2`: not a JSON object but a list", object);
    let put = "put the text of the hypothesis there, or name another column with `--hyp-column`; there is `id`, `output`";
    told("{\"id\":1,\"output\":null}", "`o.jsonl:1`: `output` is null, not a string", put);
    told("{\"id\":1,\"output\":[\"a\"]}", "`o.jsonl:1`: `output` is a list, not a string", put);
    let name = "name the hypothesis's column with `--hyp-column`; there is `id`, `text`";
    let none = "none of the columns `summary_text`, `hypothesis`, `prediction`, `output`";
    told("{\"id\":1,\"text\":\"a\"}", &format!("`o.jsonl:1`: {none}"), name);
    // the first record says which column: another one is not taken in its place
    told("{\"output\":\"a\"}\n{\"id\":1,\"text\":\"a\"}", "`o.jsonl:2`: no column `output`", name);
    let name = "name the hypothesis's column with `--hyp-column`; there is `prediction`";
    told("{\"output\":\"a\"}\n{\"prediction\":\"a\"}", "`o.jsonl:2`: no column `output`", name);
}

#[test]
fn lists_of_references() {
    let dir = Dir::new(&[("h", "x\ny\n")]);
    let told = |value: &str, message: &str| {
        dir.write("r.jsonl", format!("{{\"references\":\"a\"}}\n{{\"references\":{value}}}").as_bytes());
        dir.fails(dir.score("r.jsonl", "h"), message, "a list holds the references of its segment, one string or more");
    };
    told("[]", "`r.jsonl:2`: `references` is an empty list");
    told("[\"a\",null]", "`r.jsonl:2`: `references` has null at place 2, not a string");
    told("[[\"a\"]]", "`r.jsonl:2`: `references` has a list at place 1, not a string");
    dir.write("r.jsonl", b"{\"references\":[\"a\"]}\n{\"references\":[\"\"]}");
    let got = dir.score("r.jsonl", "h").unwrap();
    assert_eq!((references(&got), got.references.count()), (vec![vec!["a"], vec![""]], Some(1)));
}

#[test]
fn documents_that_were_not_decoded() {
    let record = |id: &str| format!("{{{id}\"summary_text\":null,\"finish_reason\":\"error\",\"error\":\"`a.jsonl:3`: bad\"}}\n");
    let dir = Dir::new(&[("r", "x\n"), ("o.jsonl", &record("\"id\":7,")), ("p.jsonl", &record(""))]);
    let hint = "see to the document and decode it again, or take it out of all files";
    dir.fails(dir.score("r", "o.jsonl"), "`o.jsonl:1`: document `7` has no text, its decoding failed: `a.jsonl:3`: bad", hint);
    dir.fails(dir.score("r", "p.jsonl"), "`p.jsonl:1`: document has no text, its decoding failed: `a.jsonl:3`: bad", hint);
}

#[test]
fn tables_that_are_none() {
    let dir = Dir::new(&[("r", "x\n")]);
    let told = |text: &str, message: &str, hint: &str| {
        dir.write("o.csv", text.as_bytes());
        dir.fails(dir.score("r", "o.csv"), message, hint);
    };
    let fields = "put quotes round fields with delimiters or line breaks";
    told("id,output\r\n\r\n1,\"a\r\nb\"\r\n\r\n\r\n2\r\n", "`o.csv:7`: 1 field where the header has 2", fields);
    let quote = "close it; a quote inside quotes is written twice";
    told("id,output\n1,a\n\n2,\"b\n3,c\n", "`o.csv:4`: a quote opens in this row and never closes", quote);
    told("id,output\n\n1,a\n\"2,b\n3,c\n", "`o.csv:4`: a quote opens in this row and never closes", quote);
    told("id,output\n1,\"a\"\"", "`o.csv:2`: a quote opens in this row and never closes", quote);
    told("\nid,\"output\n1,a\n", "`o.csv:2`: a quote opens in this row and never closes", quote);
    let name = "name the hypothesis's column with `--hyp-column`; there is `id`, `text`";
    told("\nid,text\n1,a\n", "`o.csv:2`: none of the columns `summary_text`, `hypothesis`, `prediction`, `output`", name);
    for closed in ["output\n\"a \"\" b\"", "output\n\"a\"\n\n", "output\na\"\n", "output\n\"\"\n"] {
        dir.write("o.csv", closed.as_bytes());
        dir.score("r", "o.csv").unwrap();
    }
}

#[test]
fn ids_that_do_not_meet() {
    let lines = |ids: &[&str]| ids.iter().map(|i| format!("{{\"id\":\"{i}\",\"output\":\"h\",\"target\":\"r\"}}\n")).collect::<String>();
    let dir = Dir::new(&[("o.jsonl", &lines(&["a", "b", "c"])), ("t", "1\n2\n3\n")]);
    let told = |ids: &[&str], message: &str, hint: &str| {
        dir.write("r.jsonl", format!("\n{}", lines(ids)).as_bytes());
        dir.fails(dir.score("r.jsonl", "o.jsonl"), message, hint);
    };
    let hint = "records are joined by their ids: decode what is missing, or drop the ids of one file to join line by line";
    told(&["c", "b", "a", "d"], "`r.jsonl:5`: id `d` is not in `o.jsonl`", hint);
    told(&["d", "c", "e", "f", "a"], "`o.jsonl:2`: id `b` is not in `r.jsonl`", hint);
    told(&["d", "c", "e", "f", "a", "b"], "`r.jsonl:2`: id `d` is not in `o.jsonl`, 2 more ids are not either", hint);
    told(&["c"], "`o.jsonl:1`: id `a` is not in `r.jsonl`, 1 more id is not either", hint);
    let hint = "records are joined by their ids: give each its own, or drop the ids of one file to join line by line";
    told(&["a", "b", "a"], "`r.jsonl:4`: id `a` is that of `r.jsonl:2` too", hint);
    dir.write("p.jsonl", lines(&["a", "b", "b"]).as_bytes());
    dir.write("r.jsonl", lines(&["a", "b"]).as_bytes());
    dir.fails(dir.score("r.jsonl", "p.jsonl"), "`p.jsonl:3`: id `b` is that of `p.jsonl:2` too", hint);
    // alone, nothing has to be joined
    dir.load("", "p.jsonl", "", &Options::default()).unwrap();
    // not all records have ids
    let hint = "some segments have no id, so all are joined line by line: bring the files into one order, or give every record its id";
    told(&["a", "", "b"], "`o.jsonl:3`: id `c` meets id `b` of `r.jsonl:4`", hint);
    told(
        &["a", ""],
        "`o.jsonl` has 3 segments, `r.jsonl` 2",
        "records are joined by their ids only if all of them have one, else line by line",
    );
    dir.write("r.jsonl", lines(&["", "b", ""]).as_bytes());
    assert_eq!(dir.score("r.jsonl", "o.jsonl").unwrap().ids, Some(vec![json!("a"), json!("b"), json!("c")]));
    // plain text has no ids, so the records have to be in one order
    dir.write("r.jsonl", lines(&["b", "a", "c"]).as_bytes());
    dir.score("r.jsonl", "o.jsonl").unwrap();
    dir.fails(dir.score("r.jsonl t", "o.jsonl"), "`o.jsonl:1`: id `a` meets id `b` of `r.jsonl:1`", hint);
    // whatever stands first
    dir.fails(
        dir.load("r.jsonl", "t", "o.jsonl", &column(None, None, Some("output"))),
        "`r.jsonl:1`: id `b` meets id `a` of `o.jsonl:1`",
        hint,
    );
}

#[test]
fn counts_that_differ() {
    let dir = Dir::new(&[("h", "1\n2\n3\n"), ("o.jsonl", "{\"target\":\"a\"}\n{\"target\":\"b\"}\n")]);
    let told = |text: &str, message: &str, hint: &str| {
        dir.write("r", text.as_bytes());
        dir.fails(dir.score("r", "h"), message, hint);
    };
    told("1\n2\n3\n \n", "`h` has 3 segments, `r` 4", "`r` ends with a blank line, which is a segment too: remove it");
    told("1\n2\n3\n\n\n", "`h` has 3 segments, `r` 5", "`r` ends with 2 blank lines, which are segments too: remove them");
    told("1\n2", "`h` has 3 segments, `r` 2", "the last line of `r` has no line end: it may have been cut off");
    told("1\n2\n", "`h` has 3 segments, `r` 2", "segments are joined line by line; if the last of `r` is empty, it needs its line end too");
    told("1\n", "`h` has 3 segments, `r` 1", "segments are joined line by line");
    dir.fails(dir.score("o.jsonl", "h"), "`h` has 3 segments, `o.jsonl` 2", "segments are joined line by line");
}

#[test]
fn many_segments() {
    let (lines, records) = (2_000_000, 20_000);
    let dir = Dir::new(&[("h", &"a line\r\n".repeat(lines)), ("r", &"\n".repeat(lines))]);
    let got = dir.score("r", "h").unwrap();
    assert_eq!((got.segments, got.systems[0].texts.get(lines - 1)), (lines, "a line"));
    let record = |i: usize, key: &str| format!("{{\"id\":\"document-{i}\",\"{key}\":\"text {i}\"}}\n");
    dir.write("o.jsonl", (0..records).map(|i| record(i, "summary_text")).collect::<String>().as_bytes());
    dir.write("r.jsonl", (0..records).rev().map(|i| record(i, "summary")).collect::<String>().as_bytes());
    let got = dir.score("r.jsonl", "o.jsonl").unwrap();
    let references = references(&got);
    assert!((0..records).all(|i| references[i] == [got.systems[0].texts.get(i)]));
}

/// Files with bytes changed, doubled and cut out: whatever they hold, there are texts or an error, never a panic.
#[test]
fn damaged_files() {
    let seeds: [(&str, &str); 4] = [
        ("o.jsonl", "{\"id\":\"a\",\"output\":\"x é\",\"target\":[\"r\",\"s\"]}\n\n{\"id\":7,\"output\":\"\\u00e9\",\"target\":\"t\"}\r\n"),
        ("o.csv", "\u{feff}id,output,target\r\na,\"x\n\"\"y\"\"\",é\r\n7,b,\"\"\n"),
        ("o.tsv", "id\toutput\ttarget\n\"a\"\tx\ty\n\n7\tz\t\n"),
        ("o.txt", "a \u{2028}\n\r\n\u{feff}b\u{1f}"),
    ];
    let wants = [Role::Hypothesis, Role::Reference].map(|role| columns::Want { role, column: None });
    let cut = |name: &str, bytes: Vec<u8>| {
        let wants = if name == "o.txt" { &wants[..1] } else { &wants };
        File::cut(name, bytes::text(name, bytes)?, Format::Auto, false, wants)
    };
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let (mut read, mut joined) = (0, 0);
    for (name, text) in seeds.iter().cycle().take(ROUNDS) {
        let Ok(file) = cut(name, damaged(text, &mut random)) else { continue };
        read += 1;
        assert!(file.len() > 0 && file.columns.iter().all(|c| c.len() == file.len()));
        let mut files = vec![cut("o.jsonl", seeds[0].1.into()).unwrap(), file];
        if join::join(&mut files).is_ok() {
            joined += 1;
            assert_eq!(files[0].len(), files[1].len());
        }
        References::of(files.swap_remove(1).columns).count();
    }
    assert!(read > ROUNDS / 10 && joined > ROUNDS / 50, "{read} {joined}");
}

const ROUNDS: usize = 4000;

/// Up to three damages to `text`.
fn damaged(text: &str, random: &mut impl Rng) -> Vec<u8> {
    let pieces = ["\"", "\n", ",", "\t", "{", "]", "\\", "\r", "\u{feff}", "null", ":", "\"id\":", "é"];
    let mut below = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=below(3) {
        let at = below(bytes.len());
        match below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, pieces[below(pieces.len())].bytes())),
            2 => drop(bytes.drain(at..(at + below(6)).min(bytes.len()))),
            3 => bytes.extend_from_within(at..),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = below(256) as u8),
        }
    }
    bytes
}
