//! Models by name: the cache as huggingface_hub lays it out, and what is fetched from servers, good and bad.

#[path = "hub/server.rs"]
mod server;

use server::{COMMIT, Home, Ran, Reply, Request, etag, files, hub};
use std::os::unix::fs::symlink;
use std::path::Path;

const INSPECT: [&str; 3] = ["inspect", "-m", "org/tiny"];

fn plain(_: &Request, reply: Reply) -> Reply {
    reply
}

/// Makes a pipe that nobody writes to.
fn pipe(at: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success());
}

/// Puts a fixture into the cache by hand, as huggingface_hub would.
fn cached(home: &Home, revision: &str, fixture: &str) {
    let (blobs, snapshot) = (home.repository().join("blobs"), home.snapshot());
    let reference = home.repository().join("refs").join(revision);
    for dir in [&blobs, &snapshot, &reference.parent().unwrap().to_owned()] {
        std::fs::create_dir_all(dir).unwrap();
    }
    std::fs::write(reference, COMMIT).unwrap();
    for (name, bytes) in files(fixture) {
        std::fs::write(blobs.join(etag(&name)), bytes).unwrap();
        symlink(Path::new("../../blobs").join(etag(&name)), snapshot.join(name)).unwrap();
    }
}

fn fine(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_name_is_found_in_the_cache() {
    let home = Home::new();
    cached(&home, "main", "bart-text");
    let ran = home.run(&INSPECT, &[]);
    fine(&ran);
    assert!(ran.out.starts_with("org/tiny\n") && ran.err.is_empty(), "{ran:?}");
    fine(&home.run(&["inspect", "-m", &format!("org/tiny@{COMMIT}")], &[("HF_HUB_OFFLINE", "1")]));
    fine(&home.run(&["inspect", "-m", "org/tiny", "--revision", COMMIT], &[]));
    fine(&home.run(&["inspect", "-m", "org/tiny", "--revision", &COMMIT.to_uppercase()], &[]));
    let hub = home.dir.path().join("home/hub");
    let elsewhere = home.run(&INSPECT, &[("HF_HUB_CACHE", hub.to_str().unwrap()), ("HF_HOME", "/nowhere")]);
    fine(&elsewhere);
    home.run(&INSPECT, &[("HF_HUB_CACHE", "/nowhere")])
        .says(1, &["`org/tiny`", "not in the Hugging Face cache `/nowhere`", "`--download`"]);
    home.run(&[&INSPECT[..], &["--revision", "v3"]].concat(), &[]).says(1, &["has no revision `v3`; there is `main`", "`--download`"]);
    home.run(&["inspect", "-m", "org/other"], &[("HF_HUB_OFFLINE", "1")]).says(1, &["`org/other`", "HF_HUB_OFFLINE is set"]);
    home.run(&["inspect", "-m", "org/other"], &[("TRANSFORMERS_OFFLINE", "1")]).says(1, &["`org/other`", "TRANSFORMERS_OFFLINE is set"]);
    home.run(&["inspect", "-m", "org/other", "--download"], &[("TRANSFORMERS_OFFLINE", "1")])
        .says(2, &["contradicts TRANSFORMERS_OFFLINE"]);
    let unknown = format!("org/tiny@{}", "f".repeat(40));
    home.run(&["inspect", "-m", &unknown], &[]).says(1, &["has no files of revision `ffff"]);
}

/// Nothing is waited for: what is no file is an error.
#[test]
fn what_is_no_file_is_told() {
    let not = "a pipe, a socket or a device, not a file";
    let home = Home::new();
    cached(&home, "main", "bart-text");
    let reference = home.repository().join("refs/main");
    std::fs::remove_file(&reference).unwrap();
    pipe(&reference);
    home.run(&INSPECT, &[]).says(1, &["`org/tiny`", "refs/main: ", not]);
    std::fs::remove_file(&reference).unwrap();
    symlink("main", &reference).unwrap();
    home.run(&INSPECT, &[]).says(1, &["`org/tiny`", "refs/main: ", "check the file's permissions"]);
    let home = Home::new();
    cached(&home, "main", "bart-text");
    for (file, made) in [("config.json", not), ("model.safetensors", "a directory, not a file")] {
        let at = home.snapshot().join(file);
        std::fs::remove_file(&at).unwrap();
        if made == not {
            pipe(&at)
        } else {
            std::fs::create_dir(&at).unwrap()
        }
        for model in ["org/tiny", home.snapshot().to_str().unwrap()] {
            home.run(&["inspect", "-m", model], &[]).says(1, &[file, made, "hint: "]);
        }
        std::fs::remove_file(&at).or_else(|_| std::fs::remove_dir(&at)).unwrap();
        symlink(Path::new("../../blobs").join(etag(file)), &at).unwrap();
    }
    // an index that names no file
    std::fs::remove_file(home.snapshot().join("model.safetensors")).unwrap();
    std::fs::write(home.snapshot().join("model.safetensors.index.json"), r#"{"weight_map": {"a.b": ""}}"#).unwrap();
    home.run(&INSPECT, &[]).says(1, &["model.safetensors.index.json: `weight_map`: `a.b` names the file \"\"", "hint: "]);
}

#[test]
fn a_branch_with_a_slash_is_found() {
    let home = Home::new();
    cached(&home, "refs/pr/1", "gpt2-text");
    fine(&home.run(&["inspect", "-m", "org/tiny@refs/pr/1"], &[]));
    home.run(&INSPECT, &[]).says(1, &["has no revision `main`; there is `refs/pr/1`"]);
}

#[test]
fn a_directory_goes_before_a_name() {
    let home = Home::new();
    cached(&home, "main", "bart-text");
    let dir = home.dir.path().join("org/tiny");
    std::fs::create_dir_all(&dir).unwrap();
    files("gpt2-text").into_iter().for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes).unwrap());
    let ran = home.run(&INSPECT, &[]);
    assert!(ran.out.starts_with("tiny\n") && ran.out.contains("gpt2"), "{ran:?}");
    home.run(&[&INSPECT[..], &["--revision", "main"]].concat(), &[]).says(2, &["`--revision` is for names, `org/tiny` is a directory"]);
    std::fs::remove_dir_all(dir).unwrap();
    assert!(home.run(&INSPECT, &[]).out.contains("bart"));
}

#[test]
fn what_is_no_name_is_refused() {
    let home = Home::new();
    cached(&home, "main", "bart-text");
    for name in ["../no-such-thing", "a/b/c", "/nowhere", "org/../tiny", "org/tiny/"] {
        home.run(&["inspect", "-m", name, "--download"], &[]).says(1, &[name, "no such directory, and no name of a repository"]);
    }
    for revision in ["../../x", "", "a//b", ".."] {
        home.run(&["inspect", "-m", "org/tiny", "--revision", revision], &[]).says(2, &["is no revision"]);
    }
    home.run(&["inspect", "-m", "org/tiny@a", "--revision", "b"], &[]).says(2, &["`--revision` names `b`"]);
    std::fs::write(home.dir.path().join("file"), "").unwrap();
    home.run(&["inspect", "--download"], &[]).says(2, &["`--download` and `--revision` are for a model that is named"]);
    home.run(&["bench", "--revision", "main"], &[]).says(2, &["`--download` and `--revision` are for a model that is named"]);
    home.run(&["inspect", "-m", "file"], &[]).says(1, &["file: a file, not a directory"]);
}

#[test]
fn a_part_of_a_snapshot_is_not_taken_for_the_whole() {
    for (gone, says) in [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights, neither model.safetensors nor model.safetensors.index.json"),
    ] {
        let home = Home::new();
        cached(&home, "main", "bart-text");
        std::fs::remove_file(home.snapshot().join(gone)).unwrap();
        home.run(&INSPECT, &[]).says(1, &["`org/tiny`", says, "`--download` fetches what is missing"]);
    }
    // made-up weights need none
    let home = Home::new();
    cached(&home, "main", "bart-text");
    std::fs::remove_file(home.snapshot().join("model.safetensors")).unwrap();
    fine(&home.run(&[&INSPECT[..], &["--random-weights"]].concat(), &[]));
    // a link that leads nowhere is not a file that is not needed
    for gone in ["config.json", "model.safetensors", "generation_config.json"] {
        let home = Home::new();
        cached(&home, "main", "bart-text");
        std::fs::remove_file(home.repository().join("blobs").join(etag(gone))).unwrap();
        home.run(&INSPECT, &[]).says(1, &[gone, "leads to a file that is not there", "`--download`"]);
    }
    // unless nobody needs it
    let home = Home::new();
    cached(&home, "main", "bart-text");
    std::fs::remove_file(home.repository().join("blobs").join(etag("tokenizer.json"))).unwrap();
    std::fs::write(home.dir.path().join("doc"), "5 6 7").unwrap();
    let doc = home.dir.path().join("doc");
    let decode = ["decode", "-m", "org/tiny", "--max-new-tokens", "2", doc.to_str().unwrap()];
    fine(&home.run(&[&decode[..], &["--ids"]].concat(), &[]));
    home.run(&decode, &[]).says(1, &["tokenizer.json` leads to a file that is not there", "`--download`", "`--ids`"]);
    // shards that the index names
    let home = Home::new();
    cached(&home, "main", "bart-text");
    std::fs::remove_file(home.snapshot().join("model.safetensors")).unwrap();
    let index = r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    std::fs::write(home.snapshot().join("model.safetensors.index.json"), index).unwrap();
    std::fs::write(home.snapshot().join("model-00001-of-00002.safetensors"), "").unwrap();
    home.run(&INSPECT, &[]).says(1, &["has no model-00002-of-00002.safetensors, which model.safetensors.index.json names"]);
}

#[cfg(feature = "hub")]
mod fetching {
    use super::server::Server;
    use super::*;

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

    /// The bytes of a file's blob that are there, under which name.
    fn blob(home: &Home, file: &str, ending: &str) -> Option<usize> {
        let path = home.repository().join("blobs").join(etag(file)).with_extension(ending);
        path.metadata().ok().map(|m| m.len() as usize)
    }

    const WEIGHTS: &str = "model.safetensors";

    fn of(request: &Request, file: &str) -> bool {
        request.path.ends_with(&format!("/{file}"))
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

    /// Nothing of a file is left, under whatever name, and the revision leads nowhere.
    fn nothing_kept(home: &Home, file: &str) {
        let left: Vec<String> =
            home.tree().into_iter().filter(|l| l.contains(file) || l.contains(&etag(file)) || l.starts_with("refs")).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn lies_about_sizes_leave_nothing() {
        let n = files("bart-text")[WEIGHTS].len();
        // the announcement and the transfer disagree
        for (told, says) in [(n + 5, "announces"), (n - 5, "announces")] {
            let home = Home::new();
            let told = told.to_string();
            let words = format!("the server announces {told} bytes and sends {n}");
            let liar = hub(
                files("bart-text"),
                move |request, reply| if of(request, WEIGHTS) { reply.with("X-Linked-Size", &told) } else { reply },
            );
            home.download(&liar, &INSPECT).says(1, &[WEIGHTS, says, &words, "nothing of it was kept"]);
            nothing_kept(&home, WEIGHTS);
        }
        // both too short: the file's own header tells
        let home = Home::new();
        let short = hub(files("bart-text"), move |request, reply| {
            if !of(request, WEIGHTS) {
                return reply;
            }
            let body = reply.body[..n - 8].to_owned();
            Reply { body, ..reply }.with("Content-Length", &(n - 8).to_string())
        });
        home.download(&short, &INSPECT).says(1, &[WEIGHTS, "is damaged: not a readable safetensors file", "nothing of it was kept"]);
        nothing_kept(&home, WEIGHTS);
        // and too long: the end never comes
        let home = Home::new();
        let long = hub(files("bart-text"), move |request, reply| match of(request, WEIGHTS) {
            true => reply.with("Content-Length", &(n + 8).to_string()),
            false => reply,
        });
        home.download(&long, &INSPECT).says(1, &[&format!("broke off after {n} of {} bytes", n + 8)]);
        assert_eq!(blob(&home, WEIGHTS, ""), None);
        // bytes behind the end
        let home = Home::new();
        let padded = hub(files("bart-text"), move |request, mut reply| {
            if of(request, WEIGHTS) && request.method == "GET" {
                reply.body.extend([0; 8]);
                return reply.without("Content-Length");
            }
            reply
        });
        home.download(&padded, &INSPECT).says(1, &[&format!("sends more than the {n} bytes"), "nothing of it was kept"]);
        nothing_kept(&home, WEIGHTS);
        // a page in place of a file
        let home = Home::new();
        let page =
            hub(
                files("bart-text"),
                |request, reply| if of(request, "config.json") { Reply::new(200, b"<html>").with("ETag", "\"p\"") } else { reply },
            );
        home.download(&page, &INSPECT).says(1, &["config.json", "is damaged: not valid JSON"]);
        assert!(home.tree().is_empty());
    }

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for evil in ["\"../../../../evil\"", "\"/tmp/evil\"", "\"..\"", "\"\""] {
            let home = Home::new();
            let server = hub(
                files("bart-text"),
                move |request, reply| if request.path.contains("/resolve/") { reply.with("ETag", evil) } else { reply },
            );
            home.download(&server, &INSPECT).says(1, &["an ETag that cannot be a file's name"]);
            assert!(home.tree().is_empty());
        }
        let home = Home::new();
        let server = hub(files("bart-text"), |request, reply| match request.path.starts_with("/api/") {
            true => Reply::new(200, br#"{"sha": "../../../evil", "siblings": []}"#),
            false => reply,
        });
        home.download(&server, &INSPECT).says(1, &["the server names no commit for revision `main`"]);
        let mut shards = files("bart-text");
        shards.remove(WEIGHTS);
        shards.insert("model.safetensors.index.json".to_owned(), br#"{"weight_map": {"a": "../evil.safetensors"}}"#.to_vec());
        home.download(&hub(shards, plain), &INSPECT).says(1, &["points outside the directory"]);
    }

    #[test]
    fn each_refusal_has_its_own_words() {
        let answer = |status: u16, code: &'static str| {
            hub(files("bart-text"), move |_, _| {
                if code.is_empty() { Reply::new(status, b"") } else { Reply::new(status, b"").with("X-Error-Code", code) }
            })
        };
        for (status, code, token, words) in [
            (401, "", "", "`org/tiny` is not there, or gated or private (401)"),
            (401, "", "hf_t0ken", "`org/tiny` is not there, or not for this token (401)"),
            (401, "GatedRepo", "", "`org/tiny` is gated or private (401): no token was sent"),
            (403, "GatedRepo", "hf_t0ken", "`org/tiny` is gated or private (403): the token of HF_TOKEN may not read it"),
            (404, "RepoNotFound", "", "there is no repository `org/tiny` on 127.0.0.1"),
            (404, "RevisionNotFound", "", "`org/tiny` has no revision `main`"),
            (404, "", "", "there is no repository `org/tiny` with a revision `main`"),
            (429, "", "", "the server wants fewer requests (429)"),
            (500, "", "", "127.0.0.1 is in trouble (500)"),
            (418, "", "", "answers with status 418"),
        ] {
            let (home, server) = (Home::new(), answer(status, code));
            let ran = home.run(&[&INSPECT[..], &["--download"]].concat(), &[("HF_ENDPOINT", &server.address()), ("HF_TOKEN", token)]);
            ran.says(1, &[words]);
            assert!(!ran.err.contains("hf_t0ken"), "{ran:?}");
            assert!(home.tree().is_empty());
        }
        let home = Home::new();
        let download = [&INSPECT[..], &["--download"]].concat();
        let round = hub(files("bart-text"), |request, _| Reply::new(302, b"").with("Location", &request.path));
        home.download(&round, &INSPECT).says(1, &["sends on from one address to the next, more than 10 times"]);
        assert_eq!(round.asked().len(), 11);
        let nowhere = hub(files("bart-text"), |_, _| Reply::new(302, b""));
        home.download(&nowhere, &INSPECT).says(1, &["the server sends on to no address"]);
        let text = hub(files("bart-text"), |_, _| Reply::new(200, b"<html>"));
        home.download(&text, &INSPECT).says(1, &["is no description of a repository"]);
        // a port that nobody listens at
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        home.run(&download, &[("HF_ENDPOINT", &format!("http://{free}"))]).says(1, &[&format!("cannot reach {free}"), "check the network"]);
        home.run(&download, &[("HF_ENDPOINT", "nonsense")]).says(2, &["HF_ENDPOINT is no address"]);
        home.run(&download, &[("HF_HUB_OFFLINE", "1")]).says(2, &["`--download` contradicts HF_HUB_OFFLINE"]);
        let honest = hub(files("bart-text"), plain);
        home.download(&honest, &["inspect", "-m", "org/tiny@v9"]).says(1, &["`org/tiny` has no revision `v9`"]);
        home.download(&honest, &["inspect", "-m", "org/other"]).says(1, &["there is no repository `org/other`"]);
        // a file that its list has and the server has not
        let gone = hub(files("bart-text"), |request, reply| if of(request, "tokenizer.json") { Reply::new(404, b"") } else { reply });
        home.download(&gone, &INSPECT).says(1, &["tokenizer.json: the server does not have it (404)"]);
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
        let cut = hub(
            files("bart-text"),
            |request, reply| if of(request, "tokenizer.json") { reply.with("ETag", "\"n\"").cut(9) } else { reply },
        );
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
        let ran = home
            .download(&server, &["decode", "-m", "org/tiny", "in.txt", "--on-overflow", "truncate", "--max-length", "8", "-o", "o.jsonl"]);
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
}
