//! Servers that lie, and servers that refuse.

use super::INSPECT;
use super::fetching::{WEIGHTS, blob, of, plain};
use super::server::{Home, Reply, etag, files, hub};

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
        let liar =
            hub(files("bart-text"), move |request, reply| if of(request, WEIGHTS) { reply.with("X-Linked-Size", &told) } else { reply });
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
    let page = hub(
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
    let answer =
        |status: u16, code: &'static str| {
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
