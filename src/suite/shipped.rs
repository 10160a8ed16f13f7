//! Suites that are part of the program, and how a name on the command line becomes a suite.

use super::text::{Text, all};
use super::{LONGEST, Suite};
use crate::error::{Error, Result};
use crate::nearest::nearest;
use std::io::Read;
use std::path::Path;

/// A suite that is part of the program.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its file below `models/suites`.
    pub file: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// All of them.
pub const SHIPPED: &[Shipped] = &[
    Shipped { name: "quick", file: "quick.toml", text: include_str!("../../models/suites/quick.toml") },
    Shipped { name: "length", file: "length.toml", text: include_str!("../../models/suites/length.toml") },
    Shipped { name: "sparse-or-dense", file: "sparse-or-dense.toml", text: include_str!("../../models/suites/sparse-or-dense.toml") },
    Shipped { name: "sparse-loss", file: "sparse-loss.toml", text: include_str!("../../models/suites/sparse-loss.toml") },
    Shipped { name: "scaling-800m", file: "scaling-800m.toml", text: include_str!("../../models/suites/scaling-800m.toml") },
    Shipped { name: "scaling-17b", file: "scaling-17b.toml", text: include_str!("../../models/suites/scaling-17b.toml") },
    Shipped { name: "terraformer", file: "terraformer.toml", text: include_str!("../../models/suites/terraformer.toml") },
    Shipped { name: "context", file: "context.toml", text: include_str!("../../models/suites/context.toml") },
    Shipped {
        name: "compressive-performer",
        file: "compressive-performer.toml",
        text: include_str!("../../models/suites/compressive-performer.toml"),
    },
    Shipped { name: "linformer", file: "linformer.toml", text: include_str!("../../models/suites/linformer.toml") },
];

impl Shipped {
    /// The suite.
    pub fn suite(&self) -> Result<Suite> {
        Suite::parse(self.file, self.text, None)
    }
}

impl Suite {
    /// The suite of that name, or else in that file; `./quick` is a file even where a suite is called `quick`.
    ///
    /// A name that is neither is a usage error which lists the suites there are.
    pub fn open(name_or_path: &str) -> Result<Suite> {
        if let Some(shipped) = SHIPPED.iter().find(|s| s.name == name_or_path) {
            return shipped.suite();
        }
        let path = Path::new(name_or_path);
        let bytes = read(path).map_err(|e| refusal(name_or_path, &e))?;
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let at = e.valid_up_to();
            let error = Text::new(name_or_path, &bytes).error(at, format!("not UTF-8: byte 0x{:02x}", bytes[at]));
            error.hint("convert it first, for instance `iconv -f latin1 -t utf-8 FILE`")
        })?;
        Suite::parse(name_or_path, text, Some(path.parent().unwrap_or(Path::new(""))))
    }
}

/// The bytes of a file, of a long one only so many that its length is known to be too much.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why there is no suite in that file: whoever names one without a directory or an extension may have meant a shipped suite.
fn refusal(name: &str, e: &std::io::Error) -> Error {
    let names = || SHIPPED.iter().map(|s| s.name);
    let shipped = format!("suites in this program are {}; any other is named by its file", all(names()));
    if Path::new(name).is_dir() {
        return Error::new(format!("`{name}` is a directory")).hint("a suite is one TOML file: name that");
    }
    let path = name.contains(['/', '\\']) || Path::new(name).extension().is_some();
    if e.kind() != std::io::ErrorKind::NotFound || path {
        return Error::new(format!("cannot read `{name}`: {}", crate::output::reason(e))).hint(shipped);
    }
    let near = nearest(name, names()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
    Error::usage(format!("unknown suite {}", super::text::shown(name))).hint(near + &shipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Origin, Unit};

    fn refused(name: &str) -> Error {
        Suite::open(name).unwrap_err()
    }

    #[test]
    fn every_shipped_suite_is_sound_and_names_only_what_is_part_of_the_program() {
        for shipped in SHIPPED {
            let suite = Suite::open(shipped.name).unwrap();
            assert_eq!((suite.file.as_str(), &suite), (shipped.file, &shipped.suite().unwrap()));
            assert_eq!(shipped.file, format!("{}.toml", shipped.name));
            assert!(suite.models.iter().all(|m| matches!(m.origin, Origin::Shipped(_))));
            assert!(std::path::Path::new("models/suites").join(shipped.file).exists());
        }
        assert_eq!(std::fs::read_dir("models/suites").unwrap().count(), SHIPPED.len(), "each file is registered");
    }

    #[test]
    fn what_the_shipped_suites_measure() {
        let numbers = |name: &str| {
            let suite = Suite::open(name).unwrap();
            let cases: Vec<_> = suite.cases.iter().map(|c| (suite.model(c).name.clone(), c.n_prompt, c.n_gen)).collect();
            (suite.protocol.repetitions, cases)
        };
        assert_eq!(numbers("quick"), (5, [256, 1024, 4096].map(|n| ("led-small".to_owned(), n, 64)).to_vec()));
        let lengths = |model: &str| [512, 1024, 2048, 4096, 8192, 16384].map(|n| (model.to_owned(), n, 32));
        assert_eq!(numbers("length"), (3, [lengths("led"), lengths("bart")].concat()));
        assert!(Suite::open("length").unwrap().models.iter().all(|m| m.random_weights == Some(0)));
    }

    /// trax's timing test: a source of 16 tokens, 12 written, of which ten count; the baseline stands first.
    #[test]
    fn the_suites_of_one_paper_follow_its_protocol() {
        for (name, rows) in [
            ("sparse-loss", &[160.0, 158.0, 149.0, 148.0][..]),
            ("scaling-800m", &[160.0, 93.0, 152.0, 61.0, 61.0]),
            ("scaling-17b", &[3690.0, 183.0]),
            ("terraformer", &[160.0, 61.0, 86.0]),
        ] {
            let suite = Suite::open(name).unwrap();
            let protocol = (suite.protocol.warmup, suite.protocol.drop, suite.protocol.statistic);
            assert_eq!(protocol, (true, 1, crate::suite::Statistic::Mean), "{name}");
            for (i, case) in suite.cases.iter().enumerate() {
                assert_eq!((case.model, case.n_prompt, case.n_gen, case.batch_size), (i, 16, 12, 1), "{name}");
                assert_eq!((case.strategy, case.threads), (crate::suite::Strategy::Greedy, None), "{name}");
                assert_eq!(case.n_gen - 1 - suite.protocol.drop, 10, "{name}");
            }
            let figures: Vec<f64> = suite.reported.iter().map(|r| (r.unit.cost(r.figure.unwrap()) * 1e3).round()).collect();
            assert_eq!(figures, rows, "{name}");
            assert!(suite.reported.iter().skip(1).all(|r| r.against == Some(0)) && suite.reported[0].against.is_none(), "{name}");
            // what nobody has read in the paper itself says so
            let places: Vec<&str> = suite.reported.iter().filter_map(|r| r.place.as_deref()).collect();
            assert_eq!(places.len(), rows.len(), "{name}");
            assert!(places.iter().all(|p| p.contains("secondary") == p.starts_with("table 1")), "{name}");
        }
    }

    /// Tables 1 to 3 of Compressive Performers: time and memory of four models at three levels, each against the Compressive Transformer.
    #[test]
    fn the_suite_of_compressive_performers_has_its_tables() {
        let suite = Suite::open("compressive-performer").unwrap();
        let figures: Vec<f64> = suite.reported.iter().map(|r| r.figure.unwrap()).collect();
        let char = [96.0, 8.6, 166.0, 4.7, 51.0, 7.2, 51.0, 6.8];
        let sub_word = [32.0, 6.9, 140.0, 3.2, 55.375, 3.5, 55.05, 3.5];
        let word = [70.7, 6.9, 170.0, 3.1, 67.7, 3.6, 57.0, 3.6];
        assert_eq!(figures, [char, sub_word, word].concat());
        let places: Vec<&str> = suite.reported.iter().filter_map(|r| r.place.as_deref()).collect();
        assert_eq!(places, [["table 3"; 8], ["table 2"; 8], ["table 1"; 8]].concat());
        for (i, row) in suite.reported.iter().enumerate() {
            let first = (i - i % 8) + i % 2;
            assert_eq!(row.against, (i != first).then_some(first), "row {i}");
            assert_eq!((suite.cases[row.case].n_prompt, suite.cases[row.case].n_gen), (768, 0), "row {i}");
        }
    }

    /// Table 3 of Linformer: what is more than the text allows is not there.
    #[test]
    fn the_suite_of_linformer_has_its_table() {
        let suite = Suite::open("linformer").unwrap();
        let ratios = |n: usize, unit: Unit| -> Vec<f64> {
            let rows = suite.reported.iter().filter(|r| suite.cases[r.case].n_prompt == n && r.unit == unit && r.against.is_some());
            rows.map(|r| r.ratio.unwrap()).collect()
        };
        assert_eq!(ratios(512, Unit::Milliseconds), [1.5, 1.3]);
        assert_eq!(ratios(2048, Unit::Gigabytes), [6.1, 5.6, 3.6, 2.0]);
        assert_eq!(ratios(16_384, Unit::Milliseconds), [8.6, 7.8, 7.0, 5.6, 3.3]);
        assert_eq!(ratios(65_536, Unit::Milliseconds), [20.0, 18.0, 16.0, 14.0, 7.9]);
        assert_eq!(ratios(65_536, Unit::Gigabytes), [60.0, 52.0, 40.0, 20.0, 18.0]);
        assert_eq!(suite.reported.iter().filter(|r| r.against.is_some()).count(), 2 * 34);
        assert!(suite.reported.iter().all(|r| r.figure.is_none() && (r.against.is_some() || r.ratio == Some(1.0))));
    }

    #[test]
    fn a_name_nobody_knows_lists_those_there_are() {
        let there = "suites in this program are `quick`, `length`, `sparse-or-dense`, `sparse-loss`, `scaling-800m`, `scaling-17b`, `terraformer`, `context`, `compressive-performer`, `linformer`; any other is named by its file";
        let error = refused("qick");
        assert_eq!((error.message(), error.exit_code()), ("unknown suite `qick`", 2));
        assert_eq!(error.remedy(), Some(format!("did you mean `quick`? {there}").as_str()));
        assert_eq!(refused("arxiv").remedy(), Some(there));
        assert_eq!((refused("").message(), refused("").remedy()), ("unknown suite ``", Some(there)));
        for name in ["no/such", "quick.toml", "./quick"] {
            let error = refused(name);
            assert_eq!((error.message(), error.exit_code()), (format!("cannot read `{name}`: no such file or directory").as_str(), 1));
            assert_eq!(error.remedy(), Some(there));
        }
    }

    #[test]
    fn files_that_are_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        let name = file.to_str().unwrap();
        let hint = "convert it first, for instance `iconv -f latin1 -t utf-8 FILE`";
        for (bytes, line, byte) in
            [(&b"summary = \"s\"\nsource = \"caf\xe9\""[..], 2, "e9"), (b"\xff\xfes\0u\0", 1, "ff"), (b"a\n\n\xc3", 3, "c3")]
        {
            std::fs::write(&file, bytes).unwrap();
            let error = refused(name);
            assert_eq!((error.message(), error.remedy()), (format!("{name}:{line}: not UTF-8: byte 0x{byte}").as_str(), Some(hint)));
        }
        let error = refused(dir.path().to_str().unwrap());
        assert_eq!(error.message(), format!("`{}` is a directory", dir.path().display()));
        assert_eq!(error.remedy(), Some("a suite is one TOML file: name that"));
    }

    #[test]
    fn a_file_begins_its_paths_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        let text = "summary = \"s\"\n[[model]]\nname = \"m\"\npath = \"../m\"\n[[case]]\nn-prompt = 1\nn-gen = 1\n";
        std::fs::write(&file, text).unwrap();
        let suite = Suite::open(file.to_str().unwrap()).unwrap();
        assert_eq!(suite.models[0].origin, Origin::Directory(dir.path().join("../m")));
        assert_eq!(suite.file, file.to_str().unwrap());
    }
}
