//! Whatever a file holds: no panic, no endless reading, and an error that says where.

use super::tests::GOOD;
use super::*;
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// Random numbers by splitmix64: the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Values for keys that may not like them.
#[rustfmt::skip]
const VALUES: [&str; 26] = [
    "0", "1", "-1", "3", "512", "4096", "64", "1e9", "nan", "inf", "true", "[]", "[1, 512]", "{}", "\"1-8*2\"", "\"8-1\"", "\"1-4*1\"",
    "99999999999999999999", "18446744073709551615", "\"led\"", "\"bart\"", "\"sum\"", "\"s\"", "\"tokens/s\"", "\"beam4\"", "[\"auto\", \"f32\"]",
];

/// What may stand where it does not belong.
#[rustfmt::skip]
const SIGNS: [&str; 24] = [
    "\"", "'", "\"\"\"", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "#", "\r", "\n", "\r\n", "\0", "é", "\u{202e}", "7", "n-gen",
    "\ndrop = 2\n", "\nof = \"decoder\"\n", "\nagainst = \"led\"\n",
];

/// One change: of a line, a value, a letter, or where the file ends.
fn mutated(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    let keyed: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains(" = ")).collect();
    let (key, other) = if keyed.is_empty() { (a, b) } else { (random.of(&keyed), random.of(&keyed)) };
    let value = |value: &str| format!("{} = {value}", lines[key].split(' ').next().unwrap_or(""));
    let (own, other) = (value(random.of(&VALUES)), value(lines[other].split(" = ").last().unwrap_or("")));
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    match random.below(20) {
        0 | 1 => drop(lines.remove(a)),
        2 | 3 => lines.insert(a, lines[b]),
        4 | 5 => lines.swap(a, b),
        6..=9 => lines[key] = &own,
        10..=15 => lines[key] = &other,
        16 => return format!("{}{}{}", &text[..at], random.of(&SIGNS), &text[at..]),
        17 => return text.char_indices().filter(|(i, _)| *i != at).map(|(_, c)| c).collect(),
        _ if random.below(8) == 0 => return text[..at].to_owned(),
        _ => lines.push(lines[a]),
    }
    lines.join("\n")
}

/// What [`Suite`] promises of itself.
fn sound(suite: &Suite) {
    assert!(suite.protocol.repetitions > 0 && !suite.summary.is_empty() && suite.cases.len() <= MOST_CASES);
    let names: HashSet<&str> = suite.models.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names.len(), suite.models.len());
    assert_eq!(suite.cases.iter().map(|c| c.model).collect::<HashSet<_>>(), (0..suite.models.len()).collect());
    for (i, case) in suite.cases.iter().enumerate() {
        assert!(case.batch_size > 0 && case.threads != Some(0) && (case.n_prompt > 0 || case.n_gen > 0));
        assert!(case.n_gen < 2 || suite.protocol.drop < case.n_gen - 1);
        assert!(suite.cases[..i].iter().all(|other| Case { line: case.line, ..other.clone() } != *case));
    }
    for (i, row) in suite.reported.iter().enumerate() {
        let case = &suite.cases[row.case];
        let alone = row.figure.is_none() && row.ratio == Some(1.0);
        assert!(row.figure.is_none_or(|x| x > 0.0 && x.is_finite()) && (row.figure.is_some() || row.ratio.is_some()));
        assert!(row.ratio.is_none_or(|r| r > 0.0 && (alone || row.against.is_some())));
        assert!(suite.reported[..i].iter().all(|other| (other.case, other.quantity) != (row.case, row.quantity)));
        let sum = suite.protocol.statistic == Statistic::Sum;
        assert!(row.quantity == Quantity::Encoder || sum == (row.quantity == Quantity::Decoder));
        assert!(if row.quantity == Quantity::Encoder { case.n_prompt > 0 } else { case.n_gen > 1 });
        if let Some(other) = row.against.map(|at| &suite.reported[at]) {
            let same = Case { model: case.model, line: case.line, ..suite.cases[other.case].clone() };
            assert!((&same, other.quantity) == (case, row.quantity) && suite.cases[other.case].model != case.model);
        }
    }
}

/// The error says where, on one line, and what to do.
fn located(error: &Error, text: &str) {
    let rest = error.message().strip_prefix("f.toml:").unwrap_or_else(|| panic!("{error}"));
    let (line, what) = rest.split_once(": ").expect(rest);
    let line: usize = line.parse().expect(rest);
    assert!((1..=text.split('\n').count()).contains(&line), "{error}\n{text}");
    let hint = error.remedy().unwrap_or_else(|| panic!("{error}"));
    for said in [what, hint] {
        assert!(!said.is_empty() && said.len() < 2000 && !said.contains(char::is_control), "{said}");
    }
}

#[test]
fn files_with_mistakes() {
    let mut random = Random(2_004_051_500);
    let (mut good, mut no_toml, mut wrong) = (0, 0, HashSet::new());
    for _ in 0..40_000 {
        // without all its rows a file survives more changes
        let mut text = GOOD[..random.of(&[32, 48, 54])].join("\n");
        for _ in 0..=random.below(3) {
            text = mutated(&text, &mut random);
        }
        match Suite::parse("f.toml", &text, random.of(&[None, Some(Path::new("d"))])) {
            Ok(suite) => {
                sound(&suite);
                good += 1;
            }
            Err(error) => {
                located(&error, &text);
                let kind: String = error.message().chars().filter(|c| !c.is_ascii_digit()).collect();
                if kind.contains("not TOML") {
                    no_toml += 1;
                } else {
                    wrong.insert(kind);
                }
            }
        }
    }
    // mistakes of every kind were made: with too few of one, the checks behind it were never met
    assert!(good > 1000 && no_toml > 3000 && wrong.len() > 400, "{good} {no_toml} {}", wrong.len());
}

#[test]
fn random_bytes() {
    let mut random = Random(1);
    for size in 0..600 {
        let bytes: Vec<u8> = (0..size).map(|_| random.below(256) as u8).collect();
        let text = String::from_utf8_lossy(&bytes);
        located(&Suite::parse("f.toml", &text, None).unwrap_err(), &text);
    }
}

/// Pieces one after another up to the longest file there may be.
fn filled(start: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = start.to_owned();
    for i in 0.. {
        let piece = piece(i);
        if text.len() + piece.len() > LONGEST - 2 {
            break;
        }
        text += &piece;
    }
    text
}

#[test]
fn long_files_take_bounded_time() {
    let one = "summary=\"s\"\n[[model]]\nname=\"m\"\npath=\"/m\"\n[[case]]\nn-gen=1\n";
    let list = |open: &str, piece: &str, close: &str| filled(&format!("{one}{open}"), |_| piece.to_owned()) + close;
    let mut files = vec![
        filled("", |i| format!("a{i} = 1\n")),
        filled("", |i| format!("[a{i}.b]\n")),
        filled("", |i| format!("a.b{i}.c = 1\n")),
        filled("summary=\"s\"\n", |i| format!("[[model]]\nname=\"m{i}\"\npath=\"/m\"\n")),
        filled(&format!("{one}n-prompt=8\n"), |_| "[[reported]]\n".to_owned()),
        filled(&format!("{one}n-prompt=8\n"), |i| format!("[[case]]\nn-gen=1\nn-prompt={}\n", i + 9)),
        list("n-prompt=\"", "1-999,", "1\""),
        list("n-prompt=\"", "1,", "1\""),
        list("n-prompt=[", "1,", "1]"),
        list("n-prompt=8\nmodels=[", "\"m\",", "]"),
    ];
    #[rustfmt::skip]
    let pieces = [
        "[", "[[", "]", "{", "\"", "'''", "a.", "a = [", "a = {a = ", "a=1\n", "a.b=1\n", "\0", "\n", "\r", "é", "#", "[[model]]\n", "[model]\n", "1,",
    ];
    files.extend(pieces.map(|piece| filled("", |_| piece.to_owned())));
    for text in &files {
        let start = Instant::now();
        let error = Suite::parse("f.toml", text, None).unwrap_err();
        // a loop inside a loop over such a file takes hours; a busy machine does not
        assert!(start.elapsed() < Duration::from_secs(60), "{:?} for {error}", start.elapsed());
        located(&error, text);
    }
    let rows = |i: usize| format!("[[reported]]\nmodel=\"m\"\nfigure=1\nunit=\"s\"\nn-depth={}\nbatch-size={}\n", i % 100, 1 + i / 100);
    let largest = format!("{one}n-prompt=1\nn-depth=\"0-99\"\nbatch-size=\"1-100\"\n") + &(0..MOST_REPORTED).map(rows).collect::<String>();
    let (start, suite) = (Instant::now(), Suite::parse("f.toml", &largest, None).unwrap());
    assert!(suite.cases.len() == MOST_CASES && suite.reported.len() == MOST_REPORTED && start.elapsed() < Duration::from_secs(60));
    located(&Suite::parse("f.toml", &"a = 1\n".repeat(2_000_000), None).unwrap_err(), "");
}

#[test]
fn a_file_of_ten_megabytes_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("junk.toml");
    let mut random = Random(3);
    std::fs::write(&file, (0..10 << 20).map(|_| b' ' + random.below(95) as u8).collect::<Vec<_>>()).unwrap();
    let name = file.to_str().unwrap();
    let error = Suite::open(name).unwrap_err();
    assert_eq!(error.message(), format!("{name}:1: the file is longer than 1 MiB, which no suite is"));
    assert_eq!(error.remedy(), Some("name a suite file: TOML with `[[model]]` and `[[case]]`"));
    #[cfg(target_os = "linux")]
    assert_eq!(Suite::open("/dev/zero").unwrap_err().message(), "/dev/zero:1: the file is longer than 1 MiB, which no suite is");
}
