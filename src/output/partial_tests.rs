use super::*;
use serde_json::json;

fn settings(beams: u64) -> Settings {
    json!({"model": "m", "num_beams": beams}).as_object().cloned().unwrap()
}

fn line(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"finish_reason\":\"stop\",\"seed\":18446744073709551615}}\n")
}

fn kept(id: &str) -> Kept {
    Kept { id: json!(id), seed: Some(u64::MAX), failed: false }
}

#[test]
fn nothing_at_the_name_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    let mut p = Partial::create(&path, Some(&settings(1))).unwrap();
    p.write(&line("a")).unwrap();
    assert!(!path.exists() && p.partial().exists());
    assert!(check(&path, false).unwrap_err().remedy().unwrap().contains("--resume"));
    check(&path, true).unwrap();
    p.finish().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line("a"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_torn_last_line_is_dropped_and_the_rest_appended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    let whole = line("a") + &line("b") + &line("c");
    for cut in 0..=whole.len() {
        let mut p = Partial::create(&path, Some(&settings(1))).unwrap();
        p.write(&whole[..cut]).unwrap();
        drop(p);
        let (mut p, found) = Partial::resume(&path, &settings(1)).unwrap();
        assert_eq!(found, ["a", "b", "c"][..whole[..cut].matches('\n').count()].iter().map(|i| kept(i)).collect::<Vec<_>>());
        for id in &["a", "b", "c"][found.len()..] {
            p.write(&line(id)).unwrap();
        }
        p.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn other_settings_and_other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    let mut p = Partial::create(&path, Some(&settings(1))).unwrap();
    p.write(&line("a")).unwrap();
    let partial = p.partial();
    drop(p);
    let error = Partial::resume(&path, &settings(4)).unwrap_err();
    assert_eq!(error.message(), format!("`{}` was written with other settings: `num_beams` was `1`, now it is `4`", partial.display()));
    std::fs::write(&partial, "no\nrecords\n").unwrap();
    assert!(Partial::resume(&path, &settings(1)).unwrap_err().message().ends_with("line 1 is none"));
}

#[test]
fn a_finished_file_can_be_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    std::fs::write(&path, line("a")).unwrap();
    let (p, found) = Partial::resume(&path, &settings(1)).unwrap();
    assert_eq!(found, [kept("a")]);
    assert_eq!(p.abandon(), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let (mut p, _) = Partial::resume(&path, &settings(1)).unwrap();
    p.write(&line("b")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line("a"));
    p.finish().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line("a") + &line("b"));
}

#[test]
fn abandoning_leaves_only_what_is_worth_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    assert_eq!(Partial::create(&path, Some(&settings(1))).unwrap().abandon(), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut p = Partial::create(&path, Some(&settings(1))).unwrap();
    p.write(&line("a")).unwrap();
    assert_eq!(p.partial(), p.abandon().unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn names_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    assert!(check(dir.path(), false).unwrap_err().message().ends_with("it is a directory"));
    let nowhere = dir.path().join("no/o.jsonl");
    assert!(check(&nowhere, false).unwrap_err().message().contains("there is no directory"));
}

/// Two runs with one name: the second does not touch what the first writes, begun anew or gone on with.
#[test]
fn a_file_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    let mut first = Partial::create(&path, Some(&settings(1))).unwrap();
    first.write(&line("a")).unwrap();
    for other in [Partial::create(&path, Some(&settings(2))).map(drop), Partial::resume(&path, &settings(1)).map(drop)] {
        let e = other.unwrap_err();
        assert!(e.message().starts_with("another run is writing `") && e.remedy().is_some(), "{e}");
    }
    first.write(&line("b")).unwrap();
    drop(first);
    let (gone_on, found) = Partial::resume(&path, &settings(1)).unwrap();
    assert_eq!(found, [kept("a"), kept("b")]);
    gone_on.finish().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), line("a") + &line("b"));
}

/// What cannot be gone on with, or noted, leaves nothing beside the file.
#[test]
fn a_run_that_does_not_begin_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.jsonl");
    for text in [line("a") + "{\"id\":", "no record\nat all\n".to_owned()] {
        std::fs::write(&path, &text).unwrap();
        assert!(Partial::resume(&path, &settings(1)).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{text}");
    }
    // the settings have no place
    std::fs::create_dir(dir.path().join("o.jsonl.partial.settings")).unwrap();
    std::fs::write(&path, line("a")).unwrap();
    for run in [Partial::create(&path, Some(&settings(1))).map(drop), Partial::resume(&path, &settings(1)).map(drop)] {
        assert!(run.is_err() && !dir.path().join("o.jsonl.partial").exists());
    }
}
