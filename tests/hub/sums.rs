//! ETags that are checksums: what has another one is refused, whether it came so or was changed on the disk in between.

use super::fetching::{WEIGHTS, of, plain};
use super::server::{COMMIT, Home, Reply, Request, Server, files, hub};
use super::{INSPECT, fine};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use std::path::PathBuf;

fn hex(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    digest(algorithm, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&SHA256, bytes)
}

/// `git hash-object`
fn git(bytes: &[u8]) -> String {
    hex(&SHA1_FOR_LEGACY_USE_ONLY, &[format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat())
}

/// The weights, with a bit of the last number changed or not.
fn weights(changed: bool) -> Vec<u8> {
    let mut bytes = files("bart-text")[WEIGHTS].clone();
    *bytes.last_mut().unwrap() ^= u8::from(changed);
    bytes
}

/// A hub that names the weights by `etag`, and may spoil the answers that have them.
fn named(etag: &str, spoil: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let etag = etag.to_owned();
    hub(files("bart-text"), move |request, reply| match of(request, WEIGHTS) {
        true => spoil(request, reply.with("ETag", &etag)),
        false => reply,
    })
}

fn part(home: &Home) -> PathBuf {
    home.repository().join("blobs").join(sha256(&weights(false))).with_extension("incomplete")
}

fn nothing_kept(home: &Home) {
    let sum = sha256(&weights(false));
    let left: Vec<String> = home.tree().into_iter().filter(|l| l.contains(&sum) || l.contains(WEIGHTS) || l.starts_with("refs")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn arrived(home: &Home, name: &str) {
    assert!(home.tree().contains(&format!("snapshots/{COMMIT}/{WEIGHTS} -> ../../blobs/{name}")), "{:?}", home.tree());
    assert!(std::fs::read(home.snapshot().join(WEIGHTS)).unwrap() == weights(false));
}

/// All sizes are right, and the header of the file too.
#[test]
fn other_bytes_than_announced_leave_nothing() {
    let sum = sha256(&weights(false));
    let linked = |reply: Reply| reply.with("X-Linked-Etag", &format!("\"{}\"", sha256(&weights(false))));
    for (etag, more) in [(format!("\"{sum}\""), false), (sum.clone(), false), (format!("W/\"{sum}\""), false), ("\"other\"".into(), true)] {
        let home = Home::new();
        let liar = named(&etag, move |_, reply| {
            // the end of the whole and the end of a rest are the same
            let mut body = reply.body.clone();
            *body.last_mut().unwrap() ^= 1;
            let reply = Reply { body, ..reply };
            if more { linked(reply) } else { reply }
        });
        let words = format!("is not what the server announces: its SHA-256 is {}, not {sum}", sha256(&weights(true)));
        let ran = home.download(&liar, &INSPECT);
        ran.says(1, &["`org/tiny`", WEIGHTS, &words, "nothing of it was kept; run it again", "HF_ENDPOINT"]);
        nothing_kept(&home);
        let honest = named(&etag, move |_, reply| if more { linked(reply) } else { reply });
        fine(&home.download(&honest, &INSPECT));
        arrived(&home, &sum);
    }
}

/// What lies in the cache under its name, and is not as long as it is.
#[test]
fn a_blob_of_another_length_is_fetched_anew() {
    let sum = sha256(&weights(false));
    for bytes in [&weights(false)[..500], &[weights(false), vec![0]].concat()] {
        let home = Home::new();
        let blobs = home.repository().join("blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(&sum), bytes).unwrap();
        fine(&home.download(&named(&sum, plain), &INSPECT));
        arrived(&home, &sum);
    }
}

/// A server that has one name for all files.
#[test]
fn files_of_one_name_do_not_become_each_other() {
    let home = Home::new();
    let one = hub(files("bart-text"), |request, reply| if request.path.starts_with("/api") { reply } else { reply.with("ETag", COMMIT) });
    fine(&home.download(&one, &INSPECT));
    arrived(&home, &format!("{COMMIT}-{WEIGHTS}"));
}

#[test]
fn what_was_begun_is_part_of_the_sum() {
    let sum = sha256(&weights(false));
    let (good, cut) = (named(&sum, plain), named(&sum, |_, reply| reply.cut(1000)));
    let begun = || {
        let home = Home::new();
        home.download(&cut, &INSPECT).says(1, &["broke off after 1000 of"]);
        assert_eq!(std::fs::metadata(part(&home)).unwrap().len(), 1000);
        home
    };
    let spoilt = |home: &Home| {
        let mut bytes = std::fs::read(part(home)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(part(home), bytes).unwrap();
    };
    let home = begun();
    let before = good.fetched().len();
    fine(&home.download(&good, &INSPECT));
    assert!(good.fetched()[before..].contains(&(WEIGHTS.to_owned(), 1000)), "gone on with");
    arrived(&home, &sum);
    // changed on the disk: the rest is right, the whole is not
    let home = begun();
    spoilt(&home);
    home.download(&good, &INSPECT).says(1, &[WEIGHTS, "its SHA-256 is ", &format!(", not {sum}"), "nothing of it was kept"]);
    nothing_kept(&home);
    fine(&home.download(&good, &INSPECT));
    arrived(&home, &sum);
    // a server that begins anew mends it
    let home = begun();
    spoilt(&home);
    let etag = sum.clone();
    let forgetful = named(&sum, move |_, reply| match reply.status {
        206 => Reply::new(200, &weights(false)).with("ETag", &etag),
        _ => reply,
    });
    fine(&home.download(&forgetful, &INSPECT));
    arrived(&home, &sum);
    // all of it was there when the last run ended
    for changed in [true, false] {
        let home = begun();
        std::fs::write(part(&home), weights(changed)).unwrap();
        let before = good.fetched().len();
        let ran = home.download(&good, &INSPECT);
        assert!(good.fetched()[before..].iter().all(|(file, _)| file != WEIGHTS), "nothing of it has to come");
        if changed {
            ran.says(1, &["its SHA-256 is ", "nothing of it was kept"]);
            nothing_kept(&home);
        } else {
            fine(&ran);
            arrived(&home, &sum);
        }
    }
}

/// Files that are not of Git LFS, and servers with names of their own.
#[test]
fn names_of_other_kinds() {
    let truth = weights(false);
    let plain_sha1 = hex(&SHA1_FOR_LEGACY_USE_ONLY, &truth);
    for name in [&git(&truth), &plain_sha1, COMMIT, "d41d8cd98f00b204e9800998ecf8427e", &format!("{}-5", sha256(b"x"))] {
        let home = Home::new();
        fine(&home.download(&named(&format!("\"{name}\""), plain), &INSPECT));
        // the commit stands for every file, and is none's own name
        arrived(&home, &if name == COMMIT { format!("{COMMIT}-{WEIGHTS}") } else { name.to_owned() });
    }
    for (name, says) in [(git(&weights(true)), "its git hash is "), (sha256(&weights(true)), "its SHA-256 is ")] {
        let home = Home::new();
        home.download(&named(&name, plain), &INSPECT).says(1, &[says, &format!(", not {name}"), "nothing of it was kept"]);
        nothing_kept(&home);
        assert!(home.tree().iter().all(|l| !l.contains(&name)), "{:?}", home.tree());
    }
}
