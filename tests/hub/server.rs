//! A hub of one tiny repository on this machine, which can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What goes back.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    pub cut: Option<usize>,
    /// Whether it is left open there, without a word.
    pub stall: bool,
}

impl Reply {
    pub fn new(status: u16, body: &[u8]) -> Self {
        let length = ("Content-Length".to_owned(), body.len().to_string());
        Self { status, headers: vec![length], body: body.to_owned(), cut: None, stall: false }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    pub fn cut(self, at: usize) -> Self {
        Self { cut: Some(at), ..self }
    }
}

/// A server, and what it was asked.
pub struct Server {
    pub port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// One that answers with `answer`; threads end with the process.
    pub fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, log) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let (kept, answer) = (log.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &kept, &*answer));
            }
        });
        Self { port, log }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Files whose bytes were asked for, with the byte that they were asked from.
    pub fn fetched(&self) -> Vec<(String, usize)> {
        let of = |r: &Request| (r.path.rsplit('/').next().unwrap().to_owned(), r.from().unwrap_or(0));
        self.asked().iter().filter(|r| r.method == "GET" && r.path.contains("/resolve/")).map(of).collect()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let words: Vec<&str> = first.split(' ').collect();
    let headers = lines.take_while(|l| !l.is_empty()).filter_map(|l| {
        let (name, value) = l.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    let request = Request { method: words[0].to_owned(), path: words[1].to_owned(), headers: headers.collect() };
    log.lock().unwrap().push(request.clone());
    let reply = answer(&request);
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status);
    reply.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let body = if request.method == "HEAD" { &[][..] } else { &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())] };
    let _ = stream.write_all(&[head.as_bytes(), b"\r\n", body].concat());
    if reply.stall && request.method != "HEAD" {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// The files of a fixture, by name.
pub fn files(fixture: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    let names = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "input.txt"];
    names.iter().filter_map(|n| Some(((*n).to_owned(), std::fs::read(dir.join(n)).ok()?))).collect()
}

/// `org/tiny` at `main` and at its commit, as the hub answers; `spoil` may change an answer.
pub fn hub(files: BTreeMap<String, Vec<u8>>, spoil: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Server {
    Server::new(move |request| spoil(request, honest(&files, request)))
}

fn honest(files: &BTreeMap<String, Vec<u8>>, request: &Request) -> Reply {
    let missing = |code: &str| Reply::new(404, b"no").with("X-Error-Code", code);
    if let Some(rest) = request.path.strip_prefix("/api/models/") {
        return match rest.split_once("/revision/") {
            Some(("org/tiny" | "tiny", "main" | "v2" | COMMIT)) => {
                let siblings: Vec<_> = files.keys().map(|f| serde_json::json!({"rfilename": f})).collect();
                Reply::new(200, serde_json::json!({"sha": COMMIT, "siblings": siblings, "id": "org/tiny"}).to_string().as_bytes())
            }
            Some(("org/tiny", _)) => missing("RevisionNotFound"),
            _ => missing("RepoNotFound"),
        };
    }
    let at = format!("/resolve/{COMMIT}/");
    let Some((file, bytes)) = request.path.split_once(&at).and_then(|(_, file)| Some((file, files.get(file)?))) else {
        return missing("EntryNotFound");
    };
    let reply = match request.from().filter(|from| *from > 0) {
        Some(from) if from < bytes.len() => {
            Reply::new(206, &bytes[from..]).with("Content-Range", &format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
        }
        Some(_) => Reply::new(416, b""),
        None => Reply::new(200, bytes),
    };
    reply.with("ETag", &format!("\"{}\"", etag(file))).with("X-Repo-Commit", COMMIT)
}

pub fn etag(file: &str) -> String {
    format!("e7a9-{}", file.replace('.', "-"))
}

/// A home of its own for the program.
pub struct Home {
    pub dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn repository(&self) -> PathBuf {
        self.dir.path().join("home/hub/models--org--tiny")
    }

    pub fn snapshot(&self) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT)
    }

    /// Runs the program with nothing in its environment but its home and `set`.
    pub fn run(&self, words: &[&str], set: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_effattn"));
        command.env_clear().env("HF_HOME", self.dir.path().join("home")).env("HF_HUB_DOWNLOAD_TIMEOUT", "2").envs(set.iter().copied());
        Ran::of(&command.args(words).current_dir(self.dir.path()).output().unwrap())
    }

    /// The same with `--download` from a server.
    pub fn download(&self, server: &Server, words: &[&str]) -> Ran {
        self.run(&[words, &["--download"]].concat(), &[("HF_ENDPOINT", &server.address())])
    }

    /// Everything below the cache of the repository, links with their targets.
    pub fn tree(&self) -> Vec<String> {
        let mut all = Vec::new();
        walk(&self.repository(), "", &mut all);
        all.sort();
        all
    }
}

fn walk(dir: &Path, before: &str, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        match std::fs::read_link(entry.path()) {
            Ok(target) => all.push(format!("{name} -> {}", target.display())),
            Err(_) if entry.path().is_dir() => walk(&entry.path(), &format!("{name}/"), all),
            Err(_) => all.push(name),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// An error with all of these words, no others' fault.
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.out.is_empty() && self.err.contains("error: ") && self.err.contains("\nhint: "), "{self:?}");
        words.iter().for_each(|word| assert!(self.err.contains(word), "no {word:?} in {self:?}"));
    }
}
