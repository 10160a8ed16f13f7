//! What is missing of a repository, into the cache: whole files under final names, or nothing.

use super::Watch;
use super::cache::{CONFIG, INDEX, OPTIONAL, WEIGHTS, shards};
use super::env::Env;
use super::name::{Name, is_commit};
use super::sum::Sum;
use super::transfer::{Announced, Ask, Client, Incoming, ODD};
use crate::error::{Error, Result};
use crate::report::bytes;
use crate::weights;
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Why nothing came.
pub enum Trouble {
    /// The server cannot be asked now: what the cache has may do.
    Unreachable(Error),
    /// A transfer ended too early: what came of it stays.
    Broken(Error),
    /// Anything else.
    Other(Error),
}

/// What came, or why nothing did.
pub type Got<T> = std::result::Result<T, Trouble>;

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A commit of a repository on its server, and its folder in the cache.
struct Remote<'a> {
    name: &'a Name,
    client: Client,
    api: ApiRepo,
    cache: CacheRepo,
    info: RepoInfo,
    watch: &'a dyn Watch,
}

/// Fetches what the program reads of a repository and the cache does not have: the revision leads to it when all is there.
pub fn fetch(name: &Name, env: &Env, weights: bool, watch: &dyn Watch) -> Got<()> {
    let remote = Remote::ask(name, env, watch)?;
    let snapshot = remote.snapshot();
    let mut wanted = remote.files()?;
    let mut fetched = remote.all(&wanted)?;
    if weights {
        wanted = remote.weights()?;
        fetched += remote.all(&wanted)?;
        if wanted == [INDEX] {
            fetched += remote.all(&shards(&snapshot)?)?;
        }
    }
    if !name.is_pinned() {
        remote.cache.create_ref(&remote.info.sha).map_err(|e| Error::new(format!("cannot write into the cache: {e}")))?;
    }
    if fetched > 0 {
        let size = bytes(usize::try_from(fetched).unwrap_or(usize::MAX));
        watch.note(&format!("fetched `{}` ({size}, commit {}) into `{}`", name.id, remote.info.sha, snapshot.display()));
    }
    Ok(())
}

impl<'a> Remote<'a> {
    /// Asks for the commit of the revision, and what is in it.
    fn ask(name: &'a Name, env: &Env, watch: &'a dyn Watch) -> Got<Self> {
        let client = Client::new(env)?;
        let cache = Cache::new(env.cache()?.clone());
        let repo = Repo::with_revision(name.id.clone(), RepoType::Model, name.revision.clone());
        let url = format!("{}/api/{}", env.endpoint, repo.api_url());
        let info = client.describe(&Ask { url: &url, name: &name.id, revision: &name.revision, file: None })?;
        let lies = !is_commit(&info.sha) || name.is_pinned() && info.sha != name.revision;
        if lies {
            let error = Error::new(format!("`{}`: the server names no commit for revision `{}`", name.id, name.revision));
            return Err(error.hint(ODD).into());
        }
        let pinned = Repo::with_revision(name.id.clone(), RepoType::Model, info.sha.clone());
        // the addresses are its part, the requests are the client's
        let api = ApiBuilder::from_cache(cache.clone()).with_endpoint(env.endpoint.clone()).with_token(None).with_progress(false).build();
        let api = api.map_err(|e| Error::new(format!("cannot prepare the requests: {e}")))?.repo(pinned);
        Ok(Self { name, client, api, cache: cache.repo(repo), info, watch })
    }

    fn has(&self, file: &str) -> bool {
        self.info.siblings.iter().any(|s| s.rfilename == file)
    }

    fn snapshot(&self) -> PathBuf {
        self.cache.pointer_path(&self.info.sha)
    }

    /// What is read beside weights.
    fn files(&self) -> Result<Vec<String>> {
        if !self.has(CONFIG) {
            let error = Error::new(format!("`{}` has no {CONFIG} at revision `{}`", self.name.id, self.name.revision));
            return Err(error.hint(format!("it is no model in the format of transformers; it has {}", self.listed(|_| true))));
        }
        Ok([CONFIG].into_iter().chain(OPTIONAL).filter(|f| self.has(f)).map(str::to_owned).collect())
    }

    /// The weights, or their index.
    fn weights(&self) -> Result<Vec<String>> {
        if let Some(file) = [WEIGHTS, INDEX].into_iter().find(|f| self.has(f)) {
            return Ok(vec![file.to_owned()]);
        }
        let kinds = ["bin", "pt", "pth", "ckpt", "safetensors", "h5", "msgpack", "gguf", "onnx"];
        let others = self.listed(|f| Path::new(f).extension().and_then(|e| e.to_str()).is_some_and(|e| kinds.contains(&e)));
        let error = Error::new(format!("`{}` has no {WEIGHTS}; of weights it has {others}", self.name.id));
        Err(match self.info.siblings.iter().any(|s| s.rfilename.starts_with("pytorch_model")) {
            true => error.hint(format!(
                "`hf download {}` fetches those of PyTorch, and `effattn convert --from pytorch` makes a directory of them that can be read",
                self.name.id
            )),
            false => error.hint("name a repository, or a revision, with weights as safetensors"),
        })
    }

    /// The first files of a kind, for messages.
    fn listed(&self, kind: impl Fn(&str) -> bool) -> String {
        let all: Vec<String> =
            self.info.siblings.iter().filter(|s| kind(&s.rfilename)).map(|s| format!("`{}`", s.rfilename.escape_debug())).collect();
        match all.len() {
            0 => "none".to_owned(),
            1..=6 => all.join(", "),
            n => format!("{} and {} more", all[..6].join(", "), n - 6),
        }
    }

    /// Fetches those of some files that are not there; the bytes that came.
    fn all(&self, files: &[String]) -> Got<u64> {
        let mut fetched = 0;
        for file in files.iter().filter(|file| !self.snapshot().join(file).is_file()) {
            if !self.has(file) {
                let error = Error::new(format!("`{}` has no `{file}`, which its {INDEX} names", self.name.id));
                return Err(error.hint("the repository is not whole: tell its owner, or name another revision").into());
            }
            if !file.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                return Err(Error::new(format!("`{}`: `{}` is no name of a file of weights", self.name.id, file.escape_debug())).into());
            }
            fetched += self.file(file)?;
        }
        Ok(fetched)
    }

    /// Fetches a file: its bytes below `blobs`, a link to them in the snapshot.
    fn file(&self, file: &str) -> Got<u64> {
        let url = self.api.url(file);
        let ask = Ask { url: &url, name: &self.name.id, revision: &self.name.revision, file: Some(file) };
        let announced = self.client.announced(&ask)?;
        // some servers have the commit for every file's
        let own = if announced.etag == self.info.sha { format!("{}-{file}", announced.etag) } else { announced.etag.clone() };
        let blob = self.cache.blob_path(&own);
        let whole = blob.metadata().is_ok_and(|blob| blob.is_file() && announced.bytes.is_none_or(|n| n == blob.len()));
        let came = if whole { 0 } else { self.blob(&ask, &announced, &blob)? };
        link(&blob, &own, &self.snapshot().join(file)).map_err(|e| Error::new(format!("cannot write into the cache: {e}")))?;
        Ok(came)
    }

    /// Fetches the bytes: under a name of their own until they are what was announced.
    fn blob(&self, ask: &Ask, announced: &Announced, blob: &Path) -> Got<u64> {
        let part = blob.with_extension("incomplete");
        let failed = |e: std::io::Error| Error::new(format!("cannot write `{}`: {e}", part.display()));
        std::fs::create_dir_all(blob.parent().unwrap_or(blob)).map_err(failed)?;
        let mut into = OpenOptions::new().create(true).append(true).open(&part).map_err(failed)?;
        match into.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let error = ask.error("another process is fetching it");
                return Err(error.hint("wait for it, then run this again: what is there is not fetched twice").into());
            }
            // file systems without locks have none to break
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut from = into.metadata().map_err(failed)?.len();
        if announced.bytes.is_some_and(|n| from > n) {
            into.set_len(0).map_err(failed)?;
            from = 0;
        }
        self.watch.begin(ask.file.unwrap_or_default(), announced.bytes);
        let mut sum = Sum::new(&announced.etag, &self.info.sha);
        let mut came = 0;
        if from == 0 || announced.bytes != Some(from) {
            let incoming = match self.client.open(ask, from) {
                // nothing that could be gone on with
                Err(Trouble::Other(_)) if from > 0 => self.client.open(ask, 0),
                other => other,
            }?;
            if incoming.from > 0 {
                sum.add_file(&part).map_err(|e| unreadable(&part, &e))?;
            }
            came = self.receive(ask, announced, incoming, (&mut into, &mut sum)).inspect_err(|e| {
                if matches!(e, Trouble::Other(_)) {
                    forget(&part);
                }
            })?;
        } else {
            sum.add_file(&part).map_err(|e| unreadable(&part, &e))?;
        }
        let whole = into.sync_all().map_err(failed).and_then(|()| content(ask, announced, sum, &part));
        whole.inspect_err(|_| forget(&part))?;
        std::fs::rename(&part, blob).map_err(failed)?;
        Ok(came)
    }

    /// Appends what comes to the part that is there.
    fn receive(&self, ask: &Ask, announced: &Announced, incoming: Incoming, (into, sum): (&mut File, &mut Sum)) -> Got<u64> {
        let Incoming { mut body, from, bytes: told } = incoming;
        if let (Some(announced), Some(told)) = (announced.bytes, told)
            && announced != told
        {
            return Err(ask.error(&format!("the server announces {announced} bytes and sends {told}")).hint(LIE).into());
        }
        let most = announced.bytes.or(told);
        let failed = |e: std::io::Error| Error::new(format!("cannot write into the cache: {e}"));
        if from == 0 {
            into.set_len(0).map_err(failed)?;
        }
        let (mut at, mut buffer) = (from, vec![0; 1 << 16]);
        loop {
            self.watch.reach(at);
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(broken(ask, at, most, &e.to_string())),
            };
            at += n as u64;
            if most.is_some_and(|most| at > most) {
                return Err(ask
                    .error(&format!("the server sends more than the {} bytes that it announces", most.unwrap_or(0)))
                    .hint(LIE)
                    .into());
            }
            into.write_all(&buffer[..n]).map_err(failed)?;
            sum.add(&buffer[..n]);
        }
        match most {
            Some(most) if at < most => Err(broken(ask, at, Some(most), "the server closed it")),
            _ => Ok(at - from),
        }
    }
}

const LIE: &str =
    "nothing of it was kept; run it again, and if it stays so, the server (HF_ENDPOINT) or a proxy between is not to be trusted";

/// A connection that ended too early; what came stays.
fn broken(ask: &Ask, at: u64, most: Option<u64>, why: &str) -> Trouble {
    let of = most.map_or(String::new(), |n| format!(" of {n}"));
    let error = ask.error(&format!("the connection broke off after {at}{of} bytes ({why})"));
    Trouble::Broken(error.hint("run it again with `--download`: it goes on there, or begins anew where the server cannot"))
}

fn forget(part: &Path) {
    // what cannot be removed is begun anew next time
    drop(std::fs::remove_file(part));
}

fn unreadable(part: &Path, e: &std::io::Error) -> Error {
    Error::new(format!("cannot read `{}`: {e}", part.display()))
}

/// Fails if a file is not as long as announced, has another checksum, or is not what its name says.
fn content(ask: &Ask, announced: &Announced, sum: Sum, part: &Path) -> Result<()> {
    let file = ask.file.unwrap_or_default();
    let length = part.metadata().map_err(|e| unreadable(part, &e))?.len();
    if let Some(announced) = announced.bytes.filter(|n| *n != length) {
        return Err(ask.error(&format!("the server announces {announced} bytes and sends {length}")).hint(LIE));
    }
    if let Some((kind, found)) = sum.other(part).map_err(|e| unreadable(part, &e))? {
        let what = format!("what came ({length} bytes) is not what the server announces: its {kind} is {found}, not {}", announced.etag);
        return Err(ask.error(&what).hint(LIE));
    }
    let sound = match Path::new(file).extension().and_then(|e| e.to_str()) {
        Some("safetensors") => weights::check(part),
        Some("json") => std::fs::read(part).map_err(Error::from).and_then(|text| {
            serde_json::from_slice::<serde::de::IgnoredAny>(&text).map(drop).map_err(|e| Error::new(format!("not valid JSON ({e})")))
        }),
        _ => Ok(()),
    };
    sound.map_err(|e| ask.error(&format!("what the server sends ({length} bytes) is damaged: {e}")).hint(LIE))
}

/// Puts a link to a blob into a snapshot, as huggingface_hub does: relative, so that the cache can be moved.
fn link(blob: &Path, etag: &str, at: &Path) -> std::io::Result<()> {
    let dir = at.parent().unwrap_or(at);
    std::fs::create_dir_all(dir)?;
    if at.symlink_metadata().is_ok() {
        std::fs::remove_file(at)?;
    }
    #[cfg(unix)]
    {
        let _ = blob;
        std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), at)
    }
    #[cfg(not(unix))]
    {
        let _ = etag;
        std::fs::copy(blob, at).map(drop)
    }
}
