//! What is missing is fetched, once and whole, and lies as in any cache.

use super::server::{COMMIT, Home, Reply, Request, Server, etag, files, hub};
use super::{INSPECT, fine};
use std::path::Path;

pub const WEIGHTS: &str = "model.safetensors";

/// A server that tells the truth.
pub fn plain(_: &Request, reply: Reply) -> Reply {
    reply
}

/// Whether a file of this name is asked for.
pub fn of(request: &Request, file: &str) -> bool {
    request.path.ends_with(&format!("/{file}"))
}

/// The bytes of a file's blob that are there, under which name.
pub fn blob(home: &Home, file: &str, ending: &str) -> Option<usize> {
    let path = home.repository().join("blobs").join(etag(file)).with_extension(ending);
    path.metadata().ok().map(|m| m.len() as usize)
}

#[test]
fn what_is_missing_is_fetched_once_and_lies_as_in_any_cache() {
    let (home, server) = (Home::new(), hub(files("bart-text"), plain));
    home.run(&INSPECT, &[("HF_ENDPOINT", &server.address())]).says(1, &["not in the Hugging Face cache", "`--download`"]);
    assert!(server.asked().is_empty(), "nobody asked for it");
    let ran = home.download(&server, &INSPECT);
    fine(&ran);
    assert!(ran.out.starts_with("org/tiny\n") && ran.err.starts_with("fetched `org/tiny` ("), "{ran:?}");
    assert!(ran.err.contains(COMMIT) && !ran.err.contains('\r'), "a bar is for terminals: {ran:?}");
    let read = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
    let mut wanted: Vec<String> = read.iter().map(|f| format!("blobs/{}", etag(f))).collect();
    wanted.push("refs/main".to_owned());
    wanted.extend(read.iter().map(|f| format!("snapshots/{COMMIT}/{f} -> ../../blobs/{}", etag(f))));
    assert_eq!(home.tree(), wanted);
    assert_eq!(std::fs::read_to_string(home.repository().join("refs/main")).unwrap(), COMMIT);
    for (file, bytes) in files("bart-text").into_iter().filter(|(f, _)| f != "input.txt") {
        assert!(std::fs::read(home.snapshot().join(&file)).unwrap() == bytes, "{file}");
    }
    // now it is there, for all commands and without a server
    fine(&home.run(&INSPECT, &[("HF_HUB_OFFLINE", "1")]));
    let before = server.fetched().len();
    let again = home.download(&server, &INSPECT);
    assert_eq!((again.code, again.err.as_str(), server.fetched().len()), (Some(0), "", before));
    // a name without an organisation, quietly
    let ran = home.download(&server, &["inspect", "-q", "-m", "tiny@v2"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(home.dir.path().join("home/hub/models--tiny/refs/v2").is_file());
}

/// It names tokenizers that have no file of their own, as ByT5's.
#[test]
fn what_names_the_tokenizer_is_fetched_too() {
    let mut whole = files("t5-plain");
    whole.insert("tokenizer_config.json".to_owned(), br#"{"tokenizer_class": "ByT5Tokenizer"}"#.to_vec());
    let (home, server) = (Home::new(), hub(whole, plain));
    fine(&home.download(&server, &INSPECT));
    assert!(home.snapshot().join("tokenizer_config.json").is_file());
}

#[test]
fn a_connection_that_breaks_off_is_gone_on_with() {
    let whole = files("bart-text");
    let n = whole[WEIGHTS].len();
    let home = Home::new();
    let bad = hub(whole.clone(), |request, reply| if of(request, WEIGHTS) { reply.cut(1000) } else { reply });
    home.download(&bad, &INSPECT).says(1, &[WEIGHTS, &format!("broke off after 1000 of {n} bytes"), "run it again with `--download`"]);
    assert_eq!((blob(&home, WEIGHTS, ""), blob(&home, WEIGHTS, "incomplete")), (None, Some(1000)));
    assert!(!home.snapshot().join(WEIGHTS).exists() && !home.repository().join("refs").exists());
    home.run(&INSPECT, &[]).says(1, &["has no revision `main`"]);
    // again, a little further
    home.download(&bad, &INSPECT).says(1, &[&format!("broke off after 2000 of {n} bytes")]);
    let good = hub(whole.clone(), plain);
    fine(&home.download(&good, &INSPECT));
    assert_eq!(good.fetched(), [(WEIGHTS.to_owned(), 2000)], "the rest of one file, and nothing twice");
    assert!(std::fs::read(home.snapshot().join(WEIGHTS)).unwrap() == whole[WEIGHTS]);
    assert_eq!(blob(&home, WEIGHTS, "incomplete"), None);
    // a server that cannot go on begins anew
    let home = Home::new();
    home.download(&bad, &INSPECT).says(1, &["broke off"]);
    let all = whole.clone();
    let forgetful = hub(whole.clone(), move |request, reply| match (of(request, WEIGHTS), reply.status) {
        (true, 206) => Reply::new(200, &all[WEIGHTS]),
        _ => reply,
    });
    fine(&home.download(&forgetful, &INSPECT));
    assert!(std::fs::read(home.snapshot().join(WEIGHTS)).unwrap() == whole[WEIGHTS]);
    // and so does a part that is longer than the file
    let home = Home::new();
    home.download(&bad, &INSPECT).says(1, &["broke off"]);
    std::fs::write(home.repository().join("blobs").join(etag(WEIGHTS)).with_extension("incomplete"), vec![7; n + 1]).unwrap();
    fine(&home.download(&good, &INSPECT));
    // another part than the one asked for
    let home = Home::new();
    home.download(&bad, &INSPECT).says(1, &["broke off"]);
    let all = whole.clone();
    let shifted = hub(whole.clone(), move |request, reply| match (of(request, WEIGHTS), reply.status) {
        (true, 206) => {
            let etag = format!("\"{}\"", etag(WEIGHTS));
            let reply = Reply { status: 206, ..Reply::new(200, &all[WEIGHTS][999..]) };
            reply.with("ETag", &etag).with("Content-Range", &format!("bytes 999-{}/{n}", n - 1))
        }
        _ => reply,
    });
    fine(&home.download(&shifted, &INSPECT));
    assert!(std::fs::read(home.snapshot().join(WEIGHTS)).unwrap() == whole[WEIGHTS], "begun anew");
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for() {
    let home = Home::new();
    let silent =
        hub(files("bart-text"), |request, reply| if of(request, WEIGHTS) { Reply { stall: true, ..reply.cut(10) } } else { reply });
    home.download(&silent, &INSPECT).says(1, &["broke off after 10 of"]);
    assert_eq!((blob(&home, WEIGHTS, ""), blob(&home, WEIGHTS, "incomplete")), (None, Some(10)));
}

#[test]
fn repositories_without_weights_that_can_be_read() {
    let mut torch = files("bart-text");
    torch.remove(WEIGHTS);
    torch.insert("pytorch_model.bin".to_owned(), b"zip".to_vec());
    let home = Home::new();
    home.download(&hub(torch.clone(), plain), &INSPECT)
        .says(1, &["`org/tiny` has no model.safetensors; of weights it has `pytorch_model.bin`", "`effattn convert --from pytorch`"]);
    fine(&home.download(&hub(torch, plain), &[&INSPECT[..], &["--random-weights"]].concat()));
    let mut bare = files("bart-text");
    bare.remove("config.json");
    Home::new().download(&hub(bare, plain), &INSPECT).says(1, &["`org/tiny` has no config.json at revision `main`"]);
    // optional files may be missing
    let mut few = files("bart-text");
    few.remove("tokenizer.json");
    few.remove("generation_config.json");
    fine(&Home::new().download(&hub(few, plain), &INSPECT));
}

#[test]
fn shards_are_fetched_with_their_index() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bart-sharded");
    let all: std::collections::BTreeMap<String, Vec<u8>> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap()))
        .filter(|(name, _)| name.ends_with("json") || name.starts_with("model"))
        .collect();
    let shard = all.keys().find(|f| f.ends_with(".safetensors")).unwrap().clone();
    let home = Home::new();
    fine(&home.download(&hub(all.clone(), plain), &INSPECT));
    assert!(home.snapshot().join(&shard).is_file());
    let mut less = all;
    less.remove(&shard);
    Home::new().download(&hub(less, plain), &INSPECT).says(1, &[&format!("has no `{shard}`"), "the repository is not whole"]);
}

/// Large files lie on another server, which wants no token and must not see one.
#[test]
fn the_token_goes_to_the_hub_alone() {
    let whole = files("bart-text");
    let bytes = whole[WEIGHTS].clone();
    let n = bytes.len();
    let store = Server::new(move |request| match request.header("authorization") {
        Some(_) => Reply::new(400, b"two ways to sign in"),
        None => Reply::new(200, &bytes),
    });
    let target = format!("{}/bucket/{WEIGHTS}?signature=1", store.address());
    let hub = hub(whole, move |request, reply| match (request.header("authorization"), of(request, WEIGHTS)) {
        (Some("Bearer hf_t0ken"), true) if request.path.starts_with("/moved") => Reply::new(302, b"")
            .with("Location", &target)
            .with("X-Linked-Etag", &format!("\"{}\"", etag(WEIGHTS)))
            .with("X-Linked-Size", &n.to_string())
            .with("ETag", "\"another\""),
        // on the same server the token goes along
        (Some("Bearer hf_t0ken"), true) => Reply::new(307, b"").with("Location", &format!("/moved{}", request.path)),
        (Some("Bearer hf_t0ken"), false) => reply,
        _ => Reply::new(401, b""),
    });
    let home = Home::new();
    let endpoint = ("HF_ENDPOINT", &*hub.address());
    let download = [&INSPECT[..], &["--download"]].concat();
    home.run(&download, &[endpoint]).says(1, &["(401)", "HF_TOKEN"]);
    assert!(store.asked().is_empty());
    let ran = home.run(&download, &[endpoint, ("HF_TOKEN", "hf_t0ken\n")]);
    fine(&ran);
    assert!(!format!("{ran:?}").contains("hf_t0ken"));
    assert_eq!(blob(&home, WEIGHTS, ""), Some(n));
    assert!(!store.asked().is_empty() && store.asked().iter().all(|r| r.header("authorization").is_none()));
    assert!(store.asked().iter().all(|r| r.method == "GET"), "its addresses are signed for one method");
    // the file of the token, beside the cache
    let other = Home::new();
    std::fs::create_dir_all(other.dir.path().join("home")).unwrap();
    std::fs::write(other.dir.path().join("home/token"), "hf_t0ken\n").unwrap();
    fine(&other.run(&download, &[endpoint]));
}

#[test]
fn a_server_that_cannot_be_asked_does_not_hide_the_cache() {
    let home = Home::new();
    fine(&home.download(&hub(files("bart-text"), plain), &INSPECT));
    let ran = home.download(&hub(files("bart-text"), |_, _| Reply::new(503, b"")), &INSPECT);
    fine(&ran);
    assert!(ran.err.starts_with("warning: `org/tiny`: 127.0.0.1 is in trouble (503); `org/tiny` is taken from the cache"), "{ran:?}");
    // but what began and broke off is no reason to go on with something else
    std::fs::remove_file(home.snapshot().join("tokenizer.json")).unwrap();
    fine(&home.run(&INSPECT, &[]));
    let cut =
        hub(files("bart-text"), |request, reply| if of(request, "tokenizer.json") { reply.with("ETag", "\"n\"").cut(9) } else { reply });
    home.download(&cut, &INSPECT).says(1, &["tokenizer.json: the connection broke off after 9 of"]);
    // a branch that has moved on
    let moved = "fedcba9876543210fedcba9876543210fedcba98";
    let newer = hub(files("gpt2-text"), move |request, mut reply| {
        reply.body = String::from_utf8(reply.body.clone()).map_or(reply.body, |t| t.replace(COMMIT, moved).into_bytes());
        let file = request.path.rsplit('/').next().unwrap().to_owned();
        match files("gpt2-text").remove(&file) {
            Some(bytes) => Reply::new(200, &bytes).with("ETag", &format!("\"new-{}\"", etag(&file))),
            None => reply,
        }
    });
    fine(&home.run(&INSPECT, &[]));
    let ran = home.download(&newer, &INSPECT);
    assert!(ran.code == Some(0) && ran.out.contains("gpt2") && ran.err.contains(moved), "{ran:?}");
    assert!(home.run(&INSPECT, &[]).out.contains("gpt2"));
    assert!(home.run(&["inspect", "-m", &format!("org/tiny@{COMMIT}")], &[]).out.contains("bart"));
}

#[test]
fn every_command_takes_names() {
    let home = Home::new();
    let server = hub(files("bart-text"), plain);
    std::fs::write(home.dir.path().join("in.txt"), &files("bart-text")["input.txt"]).unwrap();
    std::fs::write(home.dir.path().join("d.jsonl"), "{\"id\":\"a\",\"text\":\"The river.\",\"summary\":\"A river.\"}\n").unwrap();
    let ran =
        home.download(&server, &["decode", "-m", "org/tiny", "in.txt", "--on-overflow", "truncate", "--max-length", "8", "-o", "o.jsonl"]);
    fine(&ran);
    assert!(ran.err.contains("model: org/tiny (bart,"), "{ran:?}");
    let score = ["score", "-m", "ppl", "--model", "org/tiny", "d.jsonl", "--ref-column", "summary", "--source", "d.jsonl"];
    let ran = home.run(&score, &[]);
    assert!(ran.code == Some(0) && ran.out.contains("org/tiny"), "{ran:?}");
    let bench = ["bench", "-m", "org/tiny", "-p", "4", "-n", "2", "-r", "1", "--no-warmup", "-f", "json"];
    let ran = home.run(&bench, &[]);
    assert!(ran.code == Some(0) && ran.out.contains(&format!("\"model_filename\": \"org/tiny@{COMMIT}\"")), "{ran:?}");
    home.run(&["bench", "-m", "org/tiny,org/other", "--revision", "main"], &[]).says(2, &["`--revision` is of one model"]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bart-text/expected.safetensors");
    fine(&home.run(&["verify", "-m", "org/tiny", "--golden", golden.to_str().unwrap()], &[]));
}
